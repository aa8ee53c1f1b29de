//! Reads what a node tells, in the classic text format: families, and of each the labels with their values.

use std::collections::{BTreeMap, BTreeSet};

/// A family of series.
#[derive(Debug, Default)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// What it is, in a sentence.
    pub help: String,
    /// Its labels and their values, without a histogram's `le`.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

/// What one scrape gave.
#[derive(Debug, Default)]
pub struct Scrape {
    /// Families by name.
    pub families: BTreeMap<String, Family>,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads a scrape; whatever is not as it should be fails the test.
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
                scrape.families.entry(name.to_owned()).or_default().help = help.to_owned();
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
                scrape.families.entry(name.to_owned()).or_default().kind = kind.to_owned();
            } else {
                scrape.sample(line);
            }
        }
        scrape
    }

    fn sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let family = self.name_of_family(name).unwrap_or_else(|| panic!("{line} is of no family")).to_owned();
        let family = self.families.get_mut(&family).unwrap();
        for pair in labels.strip_suffix('}').unwrap().split_terminator("\",").filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.split_once("=\"").unwrap();
            if label != "le" {
                let value = value.trim_end_matches('"').to_owned();
                family.labels.entry(label.to_owned()).or_default().insert(value);
            }
        }
        self.samples.insert(series.to_owned(), value.parse().unwrap());
    }

    /// The family of a series: that of its name, or the histogram whose part it is.
    pub fn name_of_family(&self, series: &str) -> Option<&str> {
        let found = |name| self.families.get_key_value(name).map(|(name, family)| (name.as_str(), family));
        if let Some((name, family)) = found(series) {
            return (family.kind != "histogram").then_some(name);
        }
        let histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|part| series.strip_suffix(part))?;
        found(histogram).filter(|(_, family)| family.kind == "histogram").map(|(name, _)| name)
    }

    /// The value of a series, written as the scrape has it.
    pub fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("{series} is not there"))
    }
}

#[test]
fn families_labels_and_values_are_read() {
    let text = "# HELP a_total Some.\n# TYPE a_total counter\na_total{b=\"x\",c=\"y, z\"} 1\na_total{b=\"w\",c=\"v\"} 2.5\n\
                # HELP h_seconds Time.\n# TYPE h_seconds histogram\nh_seconds_bucket{le=\"+Inf\",r=\"1\"} 3\nh_seconds_sum 0.5\n";
    let scrape = Scrape::parse(text);
    assert_eq!(scrape.value("a_total{b=\"w\",c=\"v\"}"), 2.5);
    let labels = &scrape.families["a_total"].labels;
    assert_eq!(labels["b"].iter().collect::<Vec<_>>(), ["w", "x"]);
    assert_eq!(labels["c"].iter().collect::<Vec<_>>(), ["v", "y, z"]);
    assert_eq!(scrape.families["h_seconds"].labels.keys().collect::<Vec<_>>(), ["r"]);
    assert_eq!(scrape.name_of_family("h_seconds_bucket"), Some("h_seconds"));
    assert_eq!((scrape.name_of_family("h_seconds"), scrape.name_of_family("a_total_sum")), (None, None));
}
