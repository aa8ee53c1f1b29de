//! The command line: every command with its words, and the way to each. Commands that read or change the service are
//! thin callers of the administrators' API, one file a noun; what they do is decided in the node, not here.

mod account;
mod admin;
mod clear;
mod client;
mod configuration;
mod connection;
mod explain;
mod import;
mod node;
mod operate;
mod output;
pub mod package;
mod phone;
mod pool;
mod replica;
pub(crate) mod report_card;
mod rule;
mod shell;
mod status;
mod stepping_stone;
mod test_device;
mod token;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use connection::Connection;
use output::Console;
pub use output::Outcome;
use serde::Serialize;

/// Keeps an organization's IP phones on the firmware that its administrators approved
#[derive(Debug, Parser)]
#[command(name = "ucupdates", version, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = "\
A first walk:
  ucupdates import UCUpdates.cab                 bring a package in
  ucupdates rule list --state pending            see what it holds
  ucupdates test-device new global/desk --mac 00-21-63-0F-20-7B
  ucupdates rule approve --brand Polycom         give it to every phone of a vendor
  ucupdates explain --mac 0021630F207B           what would this phone get, and why

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.")]
pub struct Cli {
    /// How to reach a node, and how to show its answers.
    #[command(flatten)]
    connection: Connection,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// Options of the connection that say nothing to a command which speaks to no node.
const TO_A_NODE: [&str; 4] = ["server", "token", "ca_file", "profile"];

/// Commands that speak to no node, with their noun if they have one.
const WITHOUT_NODE: [(&str, Option<&str>); 10] = [
    ("package", Some("build")),
    ("package", Some("show")),
    ("standard", None),
    ("serve", None),
    ("migrate", None),
    ("check-config", None),
    ("certificates", None),
    ("first-token", None),
    ("completions", None),
    ("man", None),
];

impl Cli {
    /// Reads the words that the program was started with; ends it when they are wrong, or ask for help.
    pub fn read() -> Self {
        let matches = Self::shown().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The command line as help, completions and manual pages show it: the options of the connection stand where they say
    /// something. They are understood everywhere.
    fn shown() -> clap::Command {
        let all = Self::command();
        let options = all.get_arguments().filter(|option| TO_A_NODE.contains(&option.get_id().as_str()));
        let hidden: Vec<clap::Arg> = options.map(|option| option.clone().hide(true)).collect();
        let hide = |command: clap::Command| command.args(&hidden);
        WITHOUT_NODE.into_iter().fold(all, |all, (name, inner)| match inner {
            Some(inner) => all.mut_subcommand(name, |noun| noun.mut_subcommand(inner, hide)),
            None => all.mut_subcommand(name, hide),
        })
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Import a package: its updates become pending rules of every pool, or of those named
    #[command(after_help = "\
Examples:
  ucupdates import UCUpdates.cab --dry-run
  ucupdates import UCUpdates.exe --pool pool01.contoso.com --pool pool02.contoso.com
  ucupdates import UCUpdates.cab --wait              until every node has the files

Exit code 1 when an update of the package is refused, and with --wait when a node is not ready in time. Replaces Import-CsDeviceUpdate.")]
    Import(import::ImportArgs),
    /// Make a package from a vendor's image files, look into one, list those that were imported
    #[command(subcommand)]
    Package(package::PackageCommand),
    /// List, approve, reset, restore and remove device update rules
    #[command(subcommand)]
    Rule(rule::RuleCommand),
    /// Declare the phones that get pending versions
    #[command(subcommand)]
    TestDevice(test_device::TestDeviceCommand),
    /// What would this phone get, and why
    #[command(after_help = "\
Examples:
  ucupdates explain --mac 0021630F207B
  ucupdates explain --device-type UCPhone --brand Polycom --model CX600 --revision A --locale ENU \\
      --version 4.0.7577.4387")]
    Explain(explain::ExplainArgs),
    /// Read and change the device update configuration: how logs are kept
    #[command(subcommand)]
    Config(configuration::ConfigurationCommand),
    /// Delete files that no rule refers to, and old logs
    #[command(subcommand)]
    Clear(clear::ClearCommand),
    /// Pools and the addresses that phones are told
    #[command(subcommand)]
    Pool(pool::PoolCommand),
    /// Nodes: which are there, and how they stand
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// How far the update files have come on each node
    #[command(subcommand)]
    Replica(replica::ReplicaCommand),
    /// Interim builds that old phones need first
    #[command(subcommand)]
    SteppingStone(stepping_stone::SteppingStoneCommand),
    /// Accounts that phones outside sign in with
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Administrators' tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Who did what, and whether that record is whole
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Run and set up nodes.
    #[command(flatten)]
    Operate(operate::OperateCommand),
    /// Simulate phones: they ask, download, check and install like real ones, and find wrong answers
    #[command(after_help = "\
Examples:
  ucupdates phone                                    one phone, of the pool's rules
  ucupdates phone --brand Demo --phone-model Phone1 --version 4.0.0.1
  ucupdates phone --count 10000 --boot-within 30s    Monday morning
  ucupdates phone --count 200 --duration 10m --speed 1440    a day a minute
  ucupdates phone --model model.json --ca-file ca.pem \\
      --url https://node2:443/RequestHandler/ucdevice.upx

Phones are drawn from the model, that is from the pool's rules: old ones, new ones, test devices, unknown ones. Every \
answer is compared with what the model demands, every file with its SHA-256. A phone that you \
describe is compared with a model only where --model names one. A broken \
download goes on where it broke off. An attempt has failed when no answer came or one of status 500 or more, and is \
made again; an answer is wrong when it came and is not as it must be.

The summary counts answers by their reason, such as offered, up_to_date, no_rule, not_approved, interim_missing (an old \
phone needs an interim build that was not imported) and not_ready (the node has not all files yet); without a model only \
offered and nothing can be told apart.

Exit code 1 when an answer or a file was wrong, and when a check or a download was given up or a phone was not done in \
time (--allow-failures takes these two).")]
    Phone(Box<phone::PhoneArgs>),
    /// Print the completions of a shell
    #[command(after_help = "\
Examples:
  ucupdates completions bash > /etc/bash_completion.d/ucupdates
  source <(ucupdates completions bash)                            in this shell alone
  ucupdates completions zsh > \"${fpath[1]}/_ucupdates\"
  ucupdates completions fish > ~/.config/fish/completions/ucupdates.fish")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print a manual page, or write those of all commands into a folder
    #[command(after_help = "\
Examples:
  ucupdates man rule approve | man -l -
  ucupdates man --output /usr/local/share/man/man1        then: man ucupdates-rule-approve")]
    Man {
        /// The command; ucupdates itself when none is named
        #[arg(value_name = "COMMAND", conflicts_with = "output")]
        command: Vec<String>,
        /// Write the pages of all commands into this folder
        #[arg(long, value_name = "FOLDER")]
        output: Option<std::path::PathBuf>,
    },
    /// Whether a node is ready to serve phones: exit code 0 or 1; needs no token
    #[command(after_help = "\
Example:
  ucupdates ready --server https://localhost:9443 --ca-file /var/lib/ucupdates/tls/ca.pem

It is what a balancer asks: not ready is a node without rules, and one that was told to stop.")]
    Ready,
    /// How a node stands
    #[command(after_help = "Example:\n  ucupdates status")]
    Status,
}

/// The option of every command that changes something.
#[derive(Debug, Clone, Copy, Default, Args, Serialize)]
struct DryRun {
    /// Tell what would happen and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl DryRun {
    /// As a query beside another parameter.
    fn with(self, name: &'static str, value: &str) -> [(&'static str, String); 2] {
        [(name, value.to_owned()), ("dry_run", self.dry_run.to_string())]
    }

    /// What was done, or would have been.
    fn told(self, text: &str) -> String {
        if self.dry_run { format!("{text}\ndry run: nothing was changed") } else { text.to_owned() }
    }
}

/// Does what the command line says.
pub async fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let console = Console::new(cli.connection);
    match cli.command {
        Command::Import(args) => args.run(&console).await,
        Command::Package(command) => command.run(&console).await,
        Command::Rule(command) => command.run(&console).await,
        Command::TestDevice(command) => command.run(&console).await,
        Command::Explain(args) => args.run(&console).await,
        Command::Config(command) => command.run(&console).await,
        Command::Clear(command) => command.run(&console).await,
        Command::Pool(command) => command.run(&console).await,
        Command::Node(command) => command.run(&console).await,
        Command::Replica(command) => command.run(&console).await,
        Command::SteppingStone(command) => command.run(&console).await,
        Command::Account(command) => command.run(&console).await,
        Command::Token(command) => command.run(&console).await,
        Command::Admin(command) => command.run(&console).await,
        Command::Operate(command) => command.run(&console).await,
        Command::Phone(args) => args.run(&console).await,
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { command, output } => shell::man(&command, output.as_deref()),
        Command::Ready => status::ready(&console).await,
        Command::Status => status::run(&console).await,
    }
}

/// Wrong usage that clap cannot see: exit code 2.
fn usage_error(message: &str) -> anyhow::Error {
    clap::Error::raw(ErrorKind::MissingRequiredArgument, format!("{message}\n")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::shown().debug_assert();
    }

    #[test]
    fn the_connection_is_in_the_help_of_commands_that_speak_to_a_node_alone() {
        let mut found = Vec::new();
        let mut all = Cli::shown();
        all.build();
        leaves(&all, "", &mut found);
        let without: Vec<String> =
            WITHOUT_NODE.map(|(name, inner)| [&[name], inner.as_slice()].concat().join(" ")).into();
        for (path, mut command) in found.into_iter().filter(|(path, _)| !path.contains(" help")) {
            let speaks = !without.contains(&path.trim_start_matches(" ucupdates ").to_owned());
            let help = command.render_long_help().to_string();
            assert_eq!(help.contains("--server"), speaks, "{path}: {help}");
            assert!(help.contains("--json"), "{path}");
        }
        for line in ["serve --config a --server https://b", "--server https://b serve --config a"] {
            let words = std::iter::once("ucupdates").chain(line.split(' '));
            let cli = Cli::from_arg_matches(&Cli::shown().try_get_matches_from(words).unwrap()).unwrap();
            assert_eq!(cli.connection.server.as_deref(), Some("https://b"), "{line}");
        }
    }

    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            command.get_subcommands().for_each(|command| leaves(command, &path, found));
        } else {
            found.push((path, command.clone()));
        }
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example() {
        let mut found = Vec::new();
        leaves(&Cli::command(), "", &mut found);
        assert!(found.len() > 30, "{}", found.len());
        for (path, command) in found {
            assert!(command.get_about().is_some(), "{path} has no about");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example") && help.contains("  "), "{path} has no example");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
            }
        }
    }

    /// As a shell splits it, where quotes are around whole words.
    fn words(line: &str) -> Vec<&str> {
        let parts = line.split('\'').enumerate();
        parts.flat_map(|(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }).collect()
    }

    #[test]
    fn every_example_can_be_copied_and_is_right_usage() {
        let mut found = vec![(String::new(), Cli::command())];
        leaves(&Cli::command(), "", &mut found);
        let mut examples = 0;
        for (path, command) in found {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let folded = help.lines().find(|line| line.starts_with("  ") && line.len() > 100);
            assert_eq!(folded, None, "{path}: help of 100 columns folds it");
            let whole = help.split("\\\n").map(str::trim).collect::<Vec<_>>().join(" ");
            for line in whole.lines().map(str::trim).filter(|line| line.starts_with("ucupdates ")) {
                let typed = line.split("   ").next().unwrap().split(['|', '>']).next().unwrap();
                if let Err(error) = Cli::try_parse_from(words(typed)) {
                    panic!("{typed}: {error}");
                }
                examples += 1;
            }
        }
        assert!(examples > 50, "{examples}");
    }

    fn parses(line: &str) -> bool {
        Cli::try_parse_from(line.split_whitespace()).is_ok()
    }

    #[test]
    fn what_administrators_type_is_understood() {
        let lines = [
            "ucupdates import UCUpdates.cab --pool a.b --pool c.d --dry-run --json",
            "ucupdates --server https://n:9443 rule list --state pending --pool a*",
            "ucupdates rule approve 1a2b 3c4d",
            "ucupdates rule restore --brand x --uninstall --dry-run",
            "ucupdates test-device new global/a --mac 1",
            "ucupdates test-device new --parent global --name a --identifier-type macaddress --identifier 1",
            "ucupdates config set global --log-clean-up-interval 10.00:00:00 --add-extension .a --remove-extension .b",
            "ucupdates config new site:A --replace-extensions .a,.b --add-type X",
            "ucupdates clear logs --days-back 30",
            "ucupdates pool new a.b --site A --service-id 1-WebServices-1",
            "ucupdates stepping-stone new --below 1.0.522.98 --via 1.0.522.103",
            "ucupdates account set-password a --password-file f",
            "ucupdates explain --mac 1 --version 1.0.0.0 --file CPE.nbt",
            "ucupdates admin events --limit 3",
            "ucupdates phone --count 10000 --boot-within 30s --model m.json --url https://a/b --url https://c/d --json",
            "ucupdates phone --brand Demo --phone-model Phone1 --version 4.0.0.1 --connect-to a:443:127.0.0.1:1",
            "ucupdates phone model --output model.json",
        ];
        for line in lines {
            assert!(parses(line), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        let lines = [
            "ucupdates phone --brand Demo",
            "ucupdates phone --count 0",
            "ucupdates phone --version 4.0.0.1",
            "ucupdates phone --account a",
            "ucupdates phone --duration 1h --limit 1h",
            "ucupdates phone --day tomorrow",
            "ucupdates import",
            "ucupdates rule list --state nothing",
            "ucupdates test-device new --parent global --mac 1",
            "ucupdates test-device new global/a --mac 1 --serial 2",
            "ucupdates config set global --replace-types a --add-type b",
            "ucupdates clear logs --days-back 31",
            "ucupdates clear logs --days-back 0",
            "ucupdates clear logs",
            "ucupdates account new a --password secret",
        ];
        for line in lines {
            assert!(!parses(line), "{line}");
        }
    }
}
