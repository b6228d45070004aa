//! `wellkeep schema`

use clap::Args;

use super::{Exit, print};
use crate::status::Document;

#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn run(Arguments {}: Arguments) -> Exit {
    let schema = schemars::schema_for!(Document);
    let text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    print(&(text + "\n"));
    Exit::Well
}
