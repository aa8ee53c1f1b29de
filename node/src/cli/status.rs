//! `ucupdates status`: how the node stands that answers.

use crate::api::types::StatusBody;
use crate::cli::output::{Console, Outcome, printable};
use anyhow::Result;

/// Asks the node and shows its answer.
pub async fn run(console: &Console) -> Result<Outcome> {
    let status: StatusBody = console.client()?.get("/status", &()).await?;
    console.show(&status, |status, _| text(status))?;
    Ok(Outcome::Done)
}

fn text(status: &StatusBody) -> String {
    let (held, wanted) = (status.files_held, status.files_wanted);
    let missing = wanted.saturating_sub(held);
    let files = match missing {
        0 => format!("{held}, all of the pool's"),
        _ => format!("{held} of {wanted}: {missing} still to come"),
    };
    let generation = status.generation.map_or_else(|| "none yet".to_owned(), |generation| generation.to_string());
    let lines = [
        ("Node", status.node.clone()),
        ("Pool", status.pool.clone()),
        ("Version", status.version.clone()),
        ("Generation", generation),
        ("Rules", status.rules.to_string()),
        ("Files", files),
    ];
    let faults = status.faults.iter().map(|fault| ("Fault", fault.clone()));
    let lines = lines.into_iter().chain(faults).map(|(name, value)| format!("{name:<10} : {}", printable(&value)));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_tells_what_is_missing() {
        let mut status = StatusBody {
            node: "node1".into(),
            pool: "pool01.contoso.com".into(),
            version: "0.1.0".into(),
            generation: Some(12),
            rules: 3,
            files_held: 4,
            files_wanted: 6,
            faults: Vec::new(),
        };
        insta::assert_snapshot!(text(&status), @r"
        Node       : node1
        Pool       : pool01.contoso.com
        Version    : 0.1.0
        Generation : 12
        Rules      : 3
        Files      : 4 of 6: 2 still to come
        ");
        status.files_held = 6;
        insta::assert_snapshot!(text(&status).lines().last().unwrap(), @"Files      : 6, all of the pool's");
        status.faults = vec!["no space left in /srv/ucupdates (the store): 32 MB are needed, 1 MB are free".into()];
        insta::assert_snapshot!(
            text(&status).lines().last().unwrap(),
            @"Fault      : no space left in /srv/ucupdates (the store): 32 MB are needed, 1 MB are free"
        );
    }
}
