//! `ucupdates status`: how the node stands that answers. While the Central Management store is down no token can be
//! checked; then it is what the node says to everybody.

use crate::api::types::StatusBody;
use crate::cli::client::Unavailable;
use crate::cli::output::{Console, Outcome, print, printable};
use anyhow::{Result, bail};

/// Asks the node and shows its answer.
pub async fn run(console: &Console) -> Result<Outcome> {
    let client = console.client()?;
    let status: StatusBody = match client.get("/status", &()).await {
        Ok(status) => status,
        Err(error) if error.is::<Unavailable>() => match client.ready().await {
            Some(ready) => bail!("{error:#}\n{}", ready.trim_end()),
            None => return Err(error),
        },
        Err(error) => return Err(error),
    };
    console.show(&status, |status, _| text(status))?;
    Ok(Outcome::Done)
}

/// Asks the node whether it is ready to serve phones, as a balancer does.
pub async fn ready(console: &Console) -> Result<Outcome> {
    let (is_ready, told) = console.client_without_token()?.is_ready().await?;
    print(&printable_lines(&told))?;
    Ok(Outcome::refused_if(!is_ready))
}

/// What a node says, without what a terminal would obey.
fn printable_lines(told: &str) -> String {
    told.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn text(status: &StatusBody) -> String {
    let (held, wanted) = (status.files_held, status.files_wanted);
    let missing = wanted.saturating_sub(held);
    let files = match missing {
        0 => format!("{held}, all of the pool's"),
        _ => format!("{held} of {wanted}: {missing} still to come"),
    };
    let generation = status.generation.map_or_else(|| "none yet".to_owned(), |generation| generation.to_string());
    let confirmed = match (status.snapshot_age_s, status.snapshot_source.as_str()) {
        (None, _) => "never".to_owned(),
        (Some(age_s), "disk") => format!("{age_s} s ago; from this node's disk"),
        (Some(age_s), _) => format!("{age_s} s ago"),
    };
    let alarm = status.alarm.clone();
    let lines = [
        ("Node", status.node.clone()),
        ("Pool", status.pool.clone()),
        ("Version", status.version.clone()),
        ("Generation", generation),
        ("Confirmed", confirmed),
        ("Rules", status.rules.to_string()),
        ("Files", files),
    ];
    let alarm = alarm.map(|alarm| ("Alarm", alarm));
    let faults = status.faults.iter().map(|fault| ("Fault", fault.clone()));
    let lines = lines.into_iter().chain(alarm).chain(faults);
    lines.map(|(name, value)| format!("{name:<10} : {}", printable(&value))).collect::<Vec<_>>().join("\n")
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
            snapshot_source: "database".into(),
            snapshot_age_s: Some(3),
            alarm: None,
        };
        insta::assert_snapshot!(text(&status), @r"
        Node       : node1
        Pool       : pool01.contoso.com
        Version    : 0.1.0
        Generation : 12
        Confirmed  : 3 s ago
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
        status.faults.clear();
        status.snapshot_source = "disk".into();
        status.alarm = Some("the store has no rules".into());
        insta::assert_snapshot!(text(&status), @r"
        Node       : node1
        Pool       : pool01.contoso.com
        Version    : 0.1.0
        Generation : 12
        Confirmed  : 3 s ago; from this node's disk
        Rules      : 3
        Files      : 6, all of the pool's
        Alarm      : the store has no rules
        ");
    }
}
