//! The files under `tests/compose`: each becomes the manifests and notes in the `.txt` beside it,
//! and the manifests are accepted.
//!
//! `DUBERNETES_UPDATE_GOLDEN=1` rewrites them. The line `# variables:` of a file has the values
//! that `apply` gets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use dubernetes_manifest::compose::{Imported, import};
use dubernetes_manifest::{Source, Variables, parse_with_variables};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose");
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = all.filter(|path| path.extension().unwrap() == "yaml").collect();
    cases.sort();
    cases
}

fn source(text: &str) -> Source {
    Source { name: "compose.yaml".into(), text: text.into() }
}

fn read(text: &str) -> Imported {
    import(&source(text), ".").unwrap_or_else(|problems| panic!("{problems}"))
}

fn variables(text: &str) -> Variables {
    let line = text.lines().find_map(|line| line.strip_prefix("# variables: "));
    let pairs = line.unwrap_or_default().split_whitespace();
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn stream(imported: &Imported) -> String {
    let documents: Vec<_> = imported.apps.iter().map(|app| app.yaml.clone()).collect();
    documents.join("---\n")
}

/// All of them, so that no two apps have one name either.
fn check_accepted(imported: &Imported, variables: &Variables) {
    let text = stream(imported);
    let read = |_: &Source, _: &str| Ok(b"A=b\n".to_vec());
    let parsed = parse_with_variables(&[source(&text)], &read, variables)
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert_eq!(parsed.apps.len(), imported.apps.len());
}

#[test]
fn compose_files_become_manifests_and_notes() {
    let update = std::env::var_os("DUBERNETES_UPDATE_GOLDEN").is_some();
    let mut failed = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 6, "the files are missing");
    for path in cases {
        let text = fs::read_to_string(&path).unwrap();
        let imported = read(&text);
        check_accepted(&imported, &variables(&text));
        let notes: String = imported.notes.iter().map(|note| format!("{note}\n")).collect();
        let found = format!("{}\n{notes}", stream(&imported));
        let golden = path.with_extension("txt");
        if update {
            fs::write(&golden, &found).unwrap();
        } else if fs::read_to_string(&golden).ok().as_ref() != Some(&found) {
            failed.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(failed.is_empty(), "unexpected results:\n\n{}", failed.join("\n"));
}

#[test]
fn file_that_is_no_compose_file_is_refused() {
    for (text, expected) in [
        ("name: web\nimage: web:1\n", "`services` is missing"),
        ("services: []\n", "`services` must be a mapping with at least one entry"),
        ("- a\n", "a Compose file must be a mapping"),
        ("services: {}\n---\nservices: {}\n", "a Compose file is one YAML document"),
        ("services:\n  web: {image: [}\n", "compose.yaml:2"),
    ] {
        let found = import(&source(text), ".").unwrap_err().to_string();
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn relative_paths_begin_at_the_folder_of_the_compose_file() {
    let text = "services:\n  web:\n    image: web:1\n    env_file: .env\n    volumes:\n\
                \x20     - .:/src\n      - ../up:/up\n      - /abs:/abs\n";
    let imported = import(&source(text), "../stack").unwrap();
    let yaml = &imported.apps[0].yaml;
    for part in ["../stack/.env", "../stack:/src", "../stack/../up:/up", "- /abs:/abs"] {
        assert!(yaml.contains(part), "{part}: {yaml}");
    }
}

/// Each key of a service is taken, or has a note.
#[test]
fn no_key_is_dropped_in_silence() {
    for key in [
        "annotations",
        "attach",
        "blkio_config",
        "build",
        "cgroup",
        "cgroup_parent",
        "configs",
        "container_name",
        "cpu_shares",
        "cpuset",
        "depends_on",
        "develop",
        "device_cgroup_rules",
        "dns",
        "dns_opt",
        "dns_search",
        "domainname",
        "extends",
        "external_links",
        "gpus",
        "group_add",
        "hostname",
        "ipc",
        "isolation",
        "links",
        "logging",
        "mac_address",
        "mem_reservation",
        "mem_swappiness",
        "memswap_limit",
        "network_mode",
        "networks",
        "oom_kill_disable",
        "oom_score_adj",
        "pid",
        "pids_limit",
        "platform",
        "privileged",
        "profiles",
        "runtime",
        "secrets",
        "stdin_open",
        "sysctls",
        "tty",
        "userns_mode",
        "uts",
        "volumes_from",
        "unheard_of",
    ] {
        let text = format!("services:\n  web:\n    image: web:1\n    {key}: [x]\n");
        let imported = read(&text);
        let path = format!("services.web.{key}");
        assert!(imported.notes.iter().any(|note| note.place.path.starts_with(&path)), "{key}");
        check_accepted(&imported, &Variables::new());
    }
}
