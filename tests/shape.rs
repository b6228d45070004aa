//! The shape of the code, held by a test.

#[test]
fn the_engine_imports_nothing_but_plain_data() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine");
    let allowed = ["std::", "crate::config::", "crate::probe::", "crate::status::", "super::", "self::"];
    let mut looked_at = 0;
    for path in files_below(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if ["stories.rs", "properties.rs", "rules.rs", "simulation.rs", "tests.rs"].contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for import in text.lines().filter_map(|line| line.trim().strip_prefix("use ")) {
            assert!(allowed.iter().any(|start| import.starts_with(start)), "{name}: use {import}");
            // Of the probes only what they ask and answer, of the document only its types.
            for doing in ["read", "write", "lock", "Client", "Bus", "runner"] {
                assert!(!import.contains(doing), "{name}: use {import}");
            }
        }
        for doing in
            ["tokio", "async ", "tracing", "println!", "std::fs", "std::net", "std::env", "std::thread"]
        {
            assert!(!text.contains(doing), "{name} mentions {doing}");
        }
        looked_at += 1;
    }
    assert!(looked_at >= 5);
}

#[test]
fn every_line_of_the_log_says_what_kind_it_is() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut lines = 0;
    for path in files_below(&folder) {
        let text = std::fs::read_to_string(&path).unwrap();
        for speaks in ["error!(", "warn!(", "info!("] {
            for (place, _) in text.match_indices(speaks) {
                let rest = &text[place..];
                let said = &rest[..rest.find(';').unwrap_or(rest.len())];
                assert!(said.contains("event = %"), "{}: {said}", path.display());
                lines += 1;
            }
        }
    }
    assert!(lines >= 30);
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
