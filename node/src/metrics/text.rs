//! The two text formats of a scrape. Prometheus asks for OpenMetrics and gets it; whoever does not ask for it by name
//! (older collectors, `promtool check metrics`, a person with curl) gets the format that came before.

use http::HeaderValue;
use std::fmt::Write as _;

/// A format, by what a scrape accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Classic,
}

impl Format {
    /// OpenMetrics for who names it: a `*/*` may come from anything.
    pub fn accepted(accept: Option<&HeaderValue>) -> Self {
        let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let named = accept.split(',').filter_map(|range| range.split(';').next());
        match named.map(str::trim).any(|name| name.eq_ignore_ascii_case("application/openmetrics-text")) {
            true => Self::OpenMetrics,
            false => Self::Classic,
        }
    }

    /// What the response calls it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The classic format of a text in OpenMetrics. They differ in what describes a family: here a counter is called by the
/// name of its samples, and there are no units and no end. Samples are the same, as we send neither exemplars nor times.
pub fn classic(open_metrics: &str) -> String {
    let mut classic = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let text = help.take().map_or("", |(_, text)| text);
            let _ = write!(classic, "# HELP {name}{suffix} {text}\n# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            classic.push_str(line);
            classic.push('\n');
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_goes_to_who_names_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let cases = [
            (Some(prometheus), Format::OpenMetrics),
            (Some("text/plain;q=0.5, Application/OpenMetrics-Text; version=1.0.0"), Format::OpenMetrics),
            (Some("*/*"), Format::Classic),
            (Some("text/plain;version=0.0.4"), Format::Classic),
            (None, Format::Classic),
        ];
        for (accept, expected) in cases {
            let header = accept.map(|accept| HeaderValue::from_str(accept).unwrap());
            assert_eq!(Format::accepted(header.as_ref()), expected, "{accept:?}");
        }
    }

    #[test]
    fn the_classic_format_names_a_counter_as_its_samples_are_named() {
        let open_metrics = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1\n\
                            # HELP b How many.\n# TYPE b gauge\nb{c=\"# d\"} 2\n# EOF\n";
        let expected = "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\na_seconds_total 1\n\
                        # HELP b How many.\n# TYPE b gauge\nb{c=\"# d\"} 2\n";
        assert_eq!(classic(open_metrics), expected);
    }
}
