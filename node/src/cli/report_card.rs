//! The report card of an import, as text: for the command line, and beside a package from the drop folder.

use super::output::{Wrap, count, printable, size, table};
use crate::api::types::packages::{ImportOutcomeBody, ReportCard, ReportRow, TargetBody};

/// Names of unused files that are shown at most.
const NAMED_FILES: usize = 10;

/// The report card: a table, remarks, and one line that sums it up.
pub(crate) fn report_card(card: &ReportCard, width: Option<u16>) -> String {
    let mut parts = Vec::new();
    if !card.rows.is_empty() {
        let pools = card.rows.iter().any(|row| row.pool != card.rows[0].pool);
        parts.push(rows(&card.rows, pools, width));
        parts.extend(card.rows.iter().filter(|row| !row.detail.is_empty()).map(|row| remark(row, pools)));
    }
    if !card.ignored.is_empty() {
        let shown: Vec<&str> = card.ignored.iter().take(NAMED_FILES).map(String::as_str).collect();
        let more = card.ignored.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(printable(&format!("belong to no update and were left out: {}{more}", shown.join(", "))));
    }
    parts.push(verdict(card));
    parts.join("\n")
}

fn rows(rows: &[ReportRow], pools: bool, width: Option<u16>) -> String {
    let mut columns = vec![("DEVICE", Wrap::Words), ("VERSION", Wrap::Never)];
    if pools {
        columns.push(("POOL", Wrap::Words));
    }
    columns.push(("OUTCOME", Wrap::Never));
    let cells = |row: &ReportRow| {
        let pool = pools.then(|| row.pool.clone());
        let outcome = outcome_word(row.outcome).to_owned();
        [device(&row.target), row.version.clone()].into_iter().chain(pool).chain([outcome]).collect()
    };
    table(&columns, rows.iter().map(cells), width)
}

fn remark(row: &ReportRow, pools: bool) -> String {
    let place = if pools { format!(" in {}", row.pool) } else { String::new() };
    let outcome = outcome_word(row.outcome);
    printable(&format!("{outcome}: {} {}{place}: {}", device(&row.target), row.version, row.detail))
}

fn verdict(card: &ReportCard) -> String {
    let of = |outcome| card.rows.iter().filter(|row| row.outcome == outcome).count();
    let outcomes = [
        ImportOutcomeBody::Created,
        ImportOutcomeBody::Replaced,
        ImportOutcomeBody::Unchanged,
        ImportOutcomeBody::Refused,
    ];
    let counts: Vec<String> = outcomes
        .into_iter()
        .filter(|outcome| of(*outcome) > 0)
        .map(|outcome| format!("{} {}", of(outcome), outcome_word(outcome)))
        .collect();
    let name = printable(&card.name);
    let package = format!("{name} ({})", size(card.size_bytes));
    if counts.is_empty() {
        return format!("{package} holds no update");
    }
    let counts = format!("{} in {package}: {}", count(card.rows.len(), "update", "updates"), counts.join(", "));
    if card.dry_run {
        return format!("dry run: {counts}; nothing was changed");
    }
    let pending = of(ImportOutcomeBody::Created) + of(ImportOutcomeBody::Replaced) > 0;
    let next = "; see what waits for approval with `ucupdates rule list --state pending`";
    format!("{counts}{}", if pending { next } else { "" })
}

fn outcome_word(outcome: ImportOutcomeBody) -> &'static str {
    match outcome {
        ImportOutcomeBody::Created => "created",
        ImportOutcomeBody::Replaced => "replaced",
        ImportOutcomeBody::Unchanged => "unchanged",
        ImportOutcomeBody::Refused => "refused",
    }
}

/// The key, in the order of the file store's folders.
pub(super) fn device(target: &TargetBody) -> String {
    let TargetBody { device_type, locale, update_type, .. } = target;
    if target.interim {
        return format!("interim build {device_type} {locale} {update_type}");
    }
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
    let (brand, model, revision) = (part(&target.brand), part(&target.model), part(&target.revision));
    format!("{device_type} {brand} {model} {revision} {locale} {update_type}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(model: Option<&str>, outcome: ImportOutcomeBody, detail: &str) -> ReportRow {
        let target = TargetBody {
            interim: model.is_none(),
            device_type: "UCPhone".into(),
            brand: model.map(|_| "Polycom".into()),
            model: model.map(str::to_owned),
            revision: model.map(|_| "A".into()),
            locale: "ENU".into(),
            update_type: "CPE".into(),
        };
        let pool = "pool01.contoso.com".into();
        ReportRow { pool, target, version: "4.0.7577.4387".into(), outcome, detail: detail.into() }
    }

    fn card(rows: Vec<ReportRow>) -> ReportCard {
        let digest = "ab".repeat(32);
        let name = "UCUpdates.cab".into();
        ReportCard { name, digest, size_bytes: 36 * 1024 * 1024, dry_run: false, rows, ignored: Vec::new() }
    }

    #[test]
    fn a_clean_import_ends_with_what_to_do_next() {
        let rows = vec![
            row(Some("CX600"), ImportOutcomeBody::Created, ""),
            row(Some("CX700"), ImportOutcomeBody::Replaced, ""),
            row(None, ImportOutcomeBody::Unchanged, ""),
        ];
        let mut card = card(rows);
        insta::assert_snapshot!(report_card(&card, None), @r"
        DEVICE                           VERSION        OUTCOME
        UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387  created
        UCPhone Polycom CX700 A ENU CPE  4.0.7577.4387  replaced
        interim build UCPhone ENU CPE    4.0.7577.4387  unchanged
        3 updates in UCUpdates.cab (36.00 MiB): 1 created, 1 replaced, 1 unchanged; see what waits for approval with `ucupdates rule list --state pending`
        ");
        card.dry_run = true;
        insta::assert_snapshot!(report_card(&card, None).lines().last().unwrap(), @"dry run: 3 updates in UCUpdates.cab (36.00 MiB): 1 created, 1 replaced, 1 unchanged; nothing was changed");
    }

    #[test]
    fn refusals_and_unused_files_are_named() {
        let detail = "version 4.0.7577.4387 is stored with other bytes";
        let mut other_pool = row(Some("CX600"), ImportOutcomeBody::Created, "");
        other_pool.pool = "pool02.contoso.com".into();
        let mut card = card(vec![row(Some("CX600"), ImportOutcomeBody::Refused, detail), other_pool]);
        card.ignored = (1..=12).map(|number| format!("readme{number}.txt")).collect();
        insta::assert_snapshot!(report_card(&card, None), @r"
        DEVICE                           VERSION        POOL                OUTCOME
        UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387  pool01.contoso.com  refused
        UCPhone Polycom CX600 A ENU CPE  4.0.7577.4387  pool02.contoso.com  created
        refused: UCPhone Polycom CX600 A ENU CPE 4.0.7577.4387 in pool01.contoso.com: version 4.0.7577.4387 is stored with other bytes
        belong to no update and were left out: readme1.txt, readme2.txt, readme3.txt, readme4.txt, readme5.txt, readme6.txt, readme7.txt, readme8.txt, readme9.txt, readme10.txt and 2 more
        2 updates in UCUpdates.cab (36.00 MiB): 1 created, 1 refused; see what waits for approval with `ucupdates rule list --state pending`
        ");
    }

    #[test]
    fn nothing_found_is_said() {
        insta::assert_snapshot!(report_card(&card(Vec::new()), None), @"UCUpdates.cab (36.00 MiB) holds no update");
    }
}
