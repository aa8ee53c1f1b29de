//! What a shell and `man` know of this program, made from the command line itself: completions and manual pages.

use crate::cli::output::{Outcome, print};
use crate::cli::{Cli, usage_error};
use anyhow::Context as _;
use clap_complete::Shell;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Prints the completions of a shell.
pub fn completions(shell: Shell) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::shown(), "ucupdates", &mut script);
    write_out(&script)
}

/// Prints a manual page, or writes that of every command into a folder.
pub fn man(command: &[String], folder: Option<&Path>) -> anyhow::Result<Outcome> {
    let mut cli = Cli::shown();
    cli.build();
    let Some(folder) = folder else {
        return write_out(&page(&found(&cli, command)?)?);
    };
    std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let mut written = 0;
    write_pages(&cli, folder, &mut written)?;
    print(&format!("{written} manual pages are in {}", folder.display()))?;
    Ok(Outcome::Done)
}

/// Standard output as bytes; a reader that went away is not an error.
fn write_out(bytes: &[u8]) -> anyhow::Result<Outcome> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Outcome::Done),
    }
}

/// The command of these words.
fn found(cli: &clap::Command, words: &[String]) -> anyhow::Result<clap::Command> {
    let command = words.iter().try_fold(cli, |command, word| command.find_subcommand(word));
    let unknown = || usage_error(&format!("there is no command `{}`: see ucupdates --help", words.join(" ")));
    command.cloned().ok_or_else(unknown)
}

fn page(command: &clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    let name = page_name(command);
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .render(&mut page)
        .context("making a manual page")?;
    Ok(page)
}

/// `ucupdates-rule-list`.
fn page_name(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn write_pages(command: &clap::Command, folder: &Path, written: &mut usize) -> anyhow::Result<()> {
    let path: PathBuf = folder.join(format!("{}.1", page_name(command)));
    std::fs::write(&path, page(command)?).with_context(|| format!("writing {}", path.display()))?;
    *written += 1;
    let shown = command.get_subcommands().filter(|inner| inner.get_name() != "help" && !inner.is_hide_set());
    shown.into_iter().try_for_each(|inner| write_pages(inner, folder, written))
}
