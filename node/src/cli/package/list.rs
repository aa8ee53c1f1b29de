//! `ucupdates package list`: what was imported. The only one of these commands that asks a node.

use crate::api::types::packages::PackageBody;
use crate::cli::output::{Console, Outcome, Wrap, printable, size, table, time};
use anyhow::Result;

pub(super) async fn run(console: &Console) -> Result<Outcome> {
    let packages: Vec<PackageBody> = console.client()?.get("/packages", &()).await?;
    console.show(&packages, |packages, width| render(packages, width))?;
    Ok(Outcome::Done)
}

fn render(packages: &[PackageBody], width: Option<u16>) -> String {
    if packages.is_empty() {
        return "no packages yet: import one with `ucupdates import FILE`".to_owned();
    }
    let columns = [
        ("IMPORTED (UTC)", Wrap::Never),
        ("BY", Wrap::Words),
        ("SIZE", Wrap::Never),
        ("SHA-256", Wrap::Never),
        ("NAME", Wrap::Words),
    ];
    let row = |package: &PackageBody| {
        let digest = package.digest.chars().take(12).collect();
        let (by, name) = (printable(&package.imported_by), printable(&package.name));
        vec![time(&package.imported_at), by, size(package.size_bytes), digest, name]
    };
    table(&columns, packages.iter().map(row), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_listed_with_who_brought_them() {
        let package = PackageBody {
            digest: "6e73af0767e28b0bcca1108b193874c9bfa978e42a98323dfaae319f4ac3618c".to_owned(),
            name: "UCUpdates.cab".to_owned(),
            size_bytes: 2048,
            imported_by: "anna".to_owned(),
            imported_at: "2026-01-05T12:00:00Z".to_owned(),
        };
        let shown = render(&[package], None);
        for word in ["2026-01-05 12:00:00", "anna", "6e73af0767e2", "UCUpdates.cab"] {
            assert!(shown.contains(word), "{shown}");
        }
        assert!(render(&[], None).contains("ucupdates import FILE"));
    }
}
