//! The program `ucupdates`: parses the command line, runs it, and turns its end into an exit code. Nothing else.

use node::cli::{Cli, Outcome, run};
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::read();
    let ended = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        let ended = runtime.block_on(run(cli));
        // A read of standard input or of a slow share must not keep an ended command from ending.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

/// The error and its causes on one line; wrong usage as clap shows it.
fn failed(error: &anyhow::Error) -> ExitCode {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        // Nothing is left to tell when standard error is closed.
        let _ = usage.print();
        return ExitCode::from(2);
    }
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}
