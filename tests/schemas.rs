//! The JSON Schemas that are shipped, judged by a validator as editors have one.

#![allow(clippy::unwrap_used, reason = "the lint knows tests only by their attribute, not their helpers")]

use std::path::{Path, PathBuf};
use std::process::Command;

use boon::{Compiler, Schemas};
use serde_json::Value;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What `wellkeep schema NAME` prints.
fn schema(name: &str) -> Value {
    let printed = Command::new(env!("CARGO_BIN_EXE_wellkeep")).args(["schema", name]).output().unwrap();
    assert!(printed.status.success());
    serde_json::from_slice(&printed.stdout).unwrap()
}

/// What the schema says against a value; nothing when it fits.
fn complaints(schema: &Value, value: &Value) -> Option<String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("schema.json", schema.clone()).unwrap();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    schemas.validate(value, index).err().map(|error| format!("{error:#}"))
}

fn yaml(text: &str) -> Option<Value> {
    serde_yaml::from_str(text).ok()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "yml")).collect();
    files.sort();
    files
}

#[test]
fn every_right_monitor_yml_fits_its_schema() {
    let schema = schema("monitor.yml");
    let shipped = std::fs::read_to_string(root("config/monitor.yml")).unwrap();
    let switched_on: Vec<&str> = shipped
        .lines()
        .map(|line| if line.starts_with("##") { "" } else { line.strip_prefix('#').unwrap_or(line) })
        .collect();
    let mut texts = vec![("the shipped one, all switched on".to_owned(), switched_on.join("\n"))];
    for path in files("tests/config/valid").into_iter().chain([root("config/monitor.yml")]) {
        texts.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
    }
    for (name, text) in texts {
        let said = complaints(&schema, &yaml(&text).unwrap());
        assert_eq!(said, None, "{name}");
    }
}

/// An editor is to underline what is written in the wrong place; what only `wellkeep check` knows (keys that do not
/// exist, circles, files) it need not see.
#[test]
fn most_wrong_files_do_not_fit_it() {
    let schema = schema("monitor.yml");
    let texts = files("tests/config/invalid")
        .into_iter()
        .filter_map(|path| yaml(&std::fs::read_to_string(path).ok()?));
    let (seen, unseen): (Vec<Value>, Vec<Value>) =
        texts.partition(|value| complaints(&schema, value).is_some());
    assert!(seen.len() > 2 * unseen.len(), "{} seen, {} not", seen.len(), unseen.len());
}
