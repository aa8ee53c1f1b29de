//! Which names an expression of PromQL uses: as much of its grammar as tells a metric's name from a function, a label and
//! a word of the language. Whether an expression is valid, Prometheus itself is asked.

use super::scrape::Scrape;
use std::collections::BTreeSet;

/// Labels that Prometheus gives to each series of a target.
const TARGET_LABELS: [&str; 2] = ["instance", "job"];

/// Words of the language that stand where a metric could.
const WORDS: [&str; 7] = ["and", "or", "unless", "bool", "offset", "inf", "nan"];

/// Words that a list of labels follows.
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name or a word.
    Name(String),
    /// What stands in quotes.
    Text(String),
    /// A number or a duration.
    Number(String),
    /// `=~`, `(`, ...
    Sign(String),
}

/// A metric with what is asked of its labels.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    /// The name.
    pub metric: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
}

/// The names in an expression.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Metrics.
    pub selectors: Vec<Selector>,
    /// Labels that series are matched or put together by.
    pub grouping: BTreeSet<String>,
    /// Labels that are left after the last aggregation; none without any.
    pub kept: Option<BTreeSet<String>>,
}

fn tokens(expression: &str) -> Result<Vec<Token>, String> {
    let characters: Vec<char> = expression.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    let run =
        |from: usize, fits: fn(char) -> bool| characters[from..].iter().take_while(|c| fits(**c)).collect::<String>();
    while at < characters.len() {
        let c = characters[at];
        let token = match c {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            c if c.is_ascii_alphabetic() || matches!(c, '_' | ':') => {
                Token::Name(run(at, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')))
            }
            c if c.is_ascii_digit() => Token::Number(run(at, |c| c.is_ascii_alphanumeric() || c == '.')),
            '"' | '\'' => {
                let end = characters[at + 1..].iter().position(|end| *end == c).ok_or("a text does not end")?;
                let text: String = characters[at + 1..at + 1 + end].iter().collect();
                at += end + 2;
                tokens.push(Token::Text(text));
                continue;
            }
            '=' | '!' | '<' | '>' => Token::Sign(run(at, |c| matches!(c, '=' | '!' | '<' | '>' | '~'))),
            '(' | ')' | '{' | '}' | '[' | ']' | ',' | '+' | '-' | '*' | '/' | '%' | '^' | '$' => Token::Sign(c.into()),
            other => return Err(format!("{other:?} is not expected")),
        };
        at += match &token {
            Token::Name(text) | Token::Number(text) | Token::Sign(text) | Token::Text(text) => text.chars().count(),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

/// The names in an expression.
pub fn names(expression: &str) -> Result<Names, String> {
    let tokens = tokens(expression)?;
    let is = |at: usize, sign: &str| matches!(tokens.get(at), Some(Token::Sign(found)) if found == sign);
    let end = |from: usize, sign: &str| {
        (from..tokens.len()).find(|at| is(*at, sign)).ok_or_else(|| format!("{sign} is missing in {expression}"))
    };
    let mut names = Names::default();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            Token::Name(word) if LABEL_LISTS.contains(&word.as_str()) => {
                let last = end(at, ")")?;
                let listed = tokens[at..last].iter().skip(1).filter_map(|token| match token {
                    Token::Name(label) => Some(label.clone()),
                    _ => None,
                });
                let listed: BTreeSet<String> = listed.collect();
                if word == "by" {
                    names.kept.get_or_insert_with(|| listed.clone());
                }
                names.grouping.extend(listed);
                at = last;
            }
            Token::Name(word) if WORDS.contains(&word.to_lowercase().as_str()) => {}
            Token::Name(word) if is(at + 1, "(") => {
                if matches!(word.as_str(), "sum" | "max" | "min" | "count") {
                    // All are put into one.
                    names.kept.get_or_insert_default();
                }
            }
            Token::Name(word) if matches!(word.as_str(), "sum" | "max" | "min" | "count" | "topk") => {}
            Token::Name(metric) => {
                let mut matchers = Vec::new();
                if is(at + 1, "{") {
                    let last = end(at, "}")?;
                    matchers = self::matchers(&tokens[at + 2..last])?;
                    at = last;
                }
                names.selectors.push(Selector { metric: metric.clone(), matchers });
            }
            Token::Sign(sign) if sign == "[" => at = end(at, "]")?,
            Token::Sign(sign) if sign == "{" => return Err(format!("a selector without a name in {expression}")),
            Token::Text(_) | Token::Number(_) | Token::Sign(_) => {}
        }
        at += 1;
    }
    Ok(names)
}

fn matchers(tokens: &[Token]) -> Result<Vec<(String, String, String)>, String> {
    let mut matchers = Vec::new();
    for matcher in tokens.split(|token| *token == Token::Sign(",".to_owned())) {
        match matcher {
            [Token::Name(label), Token::Sign(sign), Token::Text(value)] => {
                matchers.push((label.clone(), sign.clone(), value.clone()));
            }
            other => return Err(format!("{other:?} is no matcher")),
        }
    }
    Ok(matchers)
}

/// What an expression names that a node does not tell; `shown` are the labels that a text shows of its result.
pub fn faults(expression: &str, shown: &[String], scrape: &Scrape) -> Vec<String> {
    let names = match names(expression) {
        Ok(names) => names,
        Err(fault) => return vec![format!("{fault}: {expression}")],
    };
    let mut faults = Vec::new();
    let mut known: BTreeSet<String> = TARGET_LABELS.iter().map(|&label| label.to_owned()).collect();
    for Selector { metric, matchers } in &names.selectors {
        // Prometheus' own: whether a target answers.
        let family = scrape.name_of_family(metric).map(|name| &scrape.families[name]);
        if family.is_none() && metric != "up" {
            faults.push(format!("there is no metric {metric}: {expression}"));
            continue;
        }
        let labels = family.map(|family| &family.labels);
        known.extend(labels.iter().flat_map(|labels| labels.keys().cloned()));
        if metric.ends_with("_bucket") {
            known.insert("le".to_owned());
        }
        for (label, sign, value) in matchers.iter().filter(|(label, ..)| !TARGET_LABELS.contains(&label.as_str())) {
            let Some(values) = labels.and_then(|labels| labels.get(label)) else {
                faults.push(format!("{metric} has no label {label}: {expression}"));
                continue;
            };
            let wanted = if sign.ends_with('~') { value.split('|').collect() } else { vec![value.as_str()] };
            for value in wanted.into_iter().filter(|value| !values.contains(*value)) {
                faults.push(format!("{label} of {metric} is never {value:?}: {expression}"));
            }
        }
    }
    let left = names.kept.as_ref().unwrap_or(&known);
    faults.extend(names.grouping.difference(&known).map(|label| format!("nothing has a label {label}: {expression}")));
    let gone = shown.iter().filter(|label| !left.contains(*label));
    faults.extend(gone.map(|label| format!("no label {label} is left to show: {expression}")));
    faults
}

#[test]
fn metrics_labels_and_words_are_told_apart() {
    let expression =
        "sum by (le, instance) (rate(a_bucket{b=~\"x|y\",c!=\"z\"}[5m])) / on (instance) up offset 1d > +Inf";
    let names = names(expression).unwrap();
    let matcher = |label: &str, sign: &str, value: &str| (label.to_owned(), sign.to_owned(), value.to_owned());
    let bucket =
        Selector { metric: "a_bucket".to_owned(), matchers: vec![matcher("b", "=~", "x|y"), matcher("c", "!=", "z")] };
    assert_eq!(names.selectors, [bucket, Selector { metric: "up".to_owned(), matchers: Vec::new() }]);
    assert_eq!(names.grouping.iter().collect::<Vec<_>>(), ["instance", "le"]);
    assert_eq!(names.kept, Some(names.grouping.clone()));
    assert!(self::names("{job=\"x\"}").is_err() && self::names("a{b=\"x}").is_err() && self::names("a{b}").is_err());
}

#[test]
fn a_wrong_name_label_or_value_is_found() {
    let scrape = Scrape::parse("# HELP a_total Some.\n# TYPE a_total counter\na_total{b=\"x\"} 1\n");
    let shown = |label: &str| vec![label.to_owned()];
    let fine = [
        ("rate(a_total{b=\"x\",instance=~\"$node\"}[$__rate_interval])", "b"),
        ("sum by (b) (a_total)", "b"),
        ("up{job=\"ucupdates\"} == 0", "instance"),
    ];
    for (expression, label) in fine {
        assert_eq!(faults(expression, &shown(label), &scrape), Vec::<String>::new());
    }
    let wrong = [
        ("rate(a[5m])", "instance"),
        ("a_total{c=\"x\"}", "b"),
        ("a_total{b=\"y\"}", "b"),
        ("a_total{b=~\"x|y\"}", "b"),
        ("sum by (c) (a_total)", "c"),
        ("sum by (instance) (a_total)", "b"),
        ("sum(a_total)", "b"),
        ("a_total", "c"),
    ];
    for (expression, label) in wrong {
        assert_eq!(faults(expression, &shown(label), &scrape).len(), 1, "{expression}");
    }
}
