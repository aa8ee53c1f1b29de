//! Which rules a command means: ids (a unique beginning will do), a filter, or all; never all by silence. Pure.

use crate::api::types::rules::{RuleBody, RuleFilterBody, RuleSelection};
use crate::cli::rule::ActionArgs;
use crate::cli::usage_error;
use anyhow::{Result, bail};

/// Matches that an ambiguous id names at most.
const NAMED_MATCHES: usize = 5;

/// What the arguments select.
#[derive(Debug, PartialEq, Eq)]
pub enum Selected {
    /// By ids as typed: they are still to be resolved.
    Ids(RuleSelection),
    /// By filter, or all: ready to send.
    Whole(RuleSelection),
}

/// What the arguments select; a usage error when that is nothing, or two things.
pub fn selected(args: ActionArgs) -> Result<Selected> {
    let filter = RuleFilterBody::from(args.filter);
    let filtered = filter != RuleFilterBody::default();
    let base = RuleSelection { dry_run: args.dry_run, ..RuleSelection::default() };
    match (args.ids.is_empty(), filtered, args.all) {
        (false, false, false) => Ok(Selected::Ids(RuleSelection { ids: args.ids, ..base })),
        (true, true, false) => Ok(Selected::Whole(RuleSelection { filter: Some(filter), ..base })),
        (true, false, true) => Ok(Selected::Whole(RuleSelection { all: true, ..base })),
        (true, false, false) => Err(usage_error(
            "no rules selected: give IDs (see `ucupdates rule list`), or a filter such as --brand or --state pending, \
             or --all for every rule of every pool",
        )),
        _ => Err(usage_error("rules are selected by IDs, or by filters, or by --all: give one of them")),
    }
}

/// The GUIDs that are meant, each once, in the order given.
pub fn resolve(ids: &[String], rules: &[RuleBody]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for id in ids {
        let id = &find(id, rules)?.id;
        if !found.contains(id) {
            found.push(id.clone());
        }
    }
    Ok(found)
}

/// The one rule whose GUID is, or begins with, `id`, or whose identity it is.
pub fn find<'a>(id: &str, rules: &'a [RuleBody]) -> Result<&'a RuleBody> {
    let begins = |rule: &&RuleBody| {
        let beginning = rule.id.get(..id.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(id));
        (beginning && !id.is_empty()) || rule.identity.eq_ignore_ascii_case(id)
    };
    let matches: Vec<&RuleBody> = rules.iter().filter(begins).collect();
    match matches[..] {
        [rule] => Ok(rule),
        [] => bail!("no rule has an id that begins with {id:?}: see `ucupdates rule list`"),
        _ => {
            let mut named: Vec<String> = matches
                .iter()
                .take(NAMED_MATCHES)
                .map(|rule| format!("{} ({} {})", rule.id, rule.brand, rule.model))
                .collect();
            if matches.len() > NAMED_MATCHES {
                named.push(format!("{} more", matches.len() - NAMED_MATCHES));
            }
            bail!("{id:?} is the beginning of {} rules' ids: {}", matches.len(), named.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::rule::FilterArgs;
    use crate::cli::rule::table::tests::rule;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn args(texts: &[&str], brand: Option<&str>, all: bool) -> ActionArgs {
        let filter = FilterArgs { brand: brand.map(str::to_owned), ..FilterArgs::default() };
        ActionArgs { ids: ids(texts), filter, all, dry_run: true }
    }

    #[test]
    fn rules_are_selected_by_ids_or_filter_or_all() {
        let base = RuleSelection { dry_run: true, ..RuleSelection::default() };
        let by_ids = RuleSelection { ids: ids(&["1a"]), ..base.clone() };
        assert_eq!(selected(args(&["1a"], None, false)).unwrap(), Selected::Ids(by_ids));
        let filter = Some(RuleFilterBody { brand: Some("Polycom".into()), ..RuleFilterBody::default() });
        let by_filter = RuleSelection { filter, ..base.clone() };
        assert_eq!(selected(args(&[], Some("Polycom"), false)).unwrap(), Selected::Whole(by_filter));
        let all = RuleSelection { all: true, ..base };
        assert_eq!(selected(args(&[], None, true)).unwrap(), Selected::Whole(all));
    }

    #[test]
    fn silence_and_two_ways_at_once_are_wrong_usage() {
        let wrong = [
            args(&[], None, false),
            args(&["1a"], None, true),
            args(&["1a"], Some("x"), false),
            args(&[], Some("x"), true),
        ];
        for args in wrong {
            let error = selected(args.clone()).unwrap_err();
            assert!(error.is::<clap::Error>(), "{args:?}");
        }
        assert!(selected(args(&[], None, false)).unwrap_err().to_string().contains("--all"));
    }

    #[test]
    fn a_unique_beginning_of_an_id_is_enough() {
        let rules = [rule("1a2b3c4d", "CX600"), rule("1a2bffff", "CX700"), rule("99999999", "CX500")];
        let full = |number: usize| rules[number].id.clone();
        assert_eq!(resolve(&ids(&["1A2B3", "99", "99999999"]), &rules).unwrap(), [full(0), full(2)]);
        assert_eq!(resolve(&[full(1)], &rules).unwrap(), [full(1)]);
        assert_eq!(resolve(&[rules[0].identity.to_uppercase()], &rules).unwrap(), [full(0)]);
    }

    #[test]
    fn an_ambiguous_or_unknown_id_is_refused_by_name() {
        let rules = [rule("1a2b3c4d", "CX600"), rule("1a2bffff", "CX700")];
        let ambiguous = find("1a2b", &rules).unwrap_err().to_string();
        assert!(ambiguous.contains(&rules[0].id) && ambiguous.contains("CX700"), "{ambiguous}");
        for unknown in ["", "7", "é", "1a2b3c4d-0000-0000-0000-0000000000000"] {
            assert!(find(unknown, &rules).unwrap_err().to_string().starts_with("no rule"), "{unknown}");
        }
    }
}
