//! `bill-api`: see the library for the flow.

use std::process::ExitCode;

use bill_api::Cli;
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    service_kit::process::run("bill-api", |shutdown| bill_api::run(cli, shutdown))
}
