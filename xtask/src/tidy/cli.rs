//! Rules for `dubernetes-cli`: who names an adapter, and which imports a verb has.

use std::path::Path;

use super::{TextFile, arrows, words};

const SOURCES: &str = "dubernetes-cli/src";
/// The only module of the command line that names the adapters.
const WIRING: &str = "wiring";

/// Only the wiring names an adapter.
pub(super) fn names_adapter(source: &TextFile) -> Option<String> {
    let path = source.path.strip_prefix(SOURCES).ok()?;
    if path.starts_with(WIRING) || path == Path::new(WIRING).with_extension("rs") {
        return None;
    }
    let adapters = arrows::ADAPTERS.map(|name| name.replace('-', "_"));
    let names = |line: &str| words(line).any(|word| adapters.iter().any(|name| name == word));
    let (number, _) = source.code().find(|(_, line)| names(line))?;
    let path = source.path.display();
    Some(format!("{path}:{number}: only {WIRING}.rs may name an adapter"))
}

/// No verb uses another verb, nor the module that dispatches to all of them: what two verbs share
/// is a module beside `commands`.
pub(super) fn imports_verb(source: &TextFile) -> Option<String> {
    let path = source.path.strip_prefix(SOURCES).ok()?.strip_prefix("commands").ok()?;
    let mut parts = path.iter();
    let verb = Path::new(parts.next()?).file_stem()?.to_str()?;
    // In `commands/apply.rs` the module `commands` is one `super` up, in `commands/apply/x.rs` two.
    let parents = "super::".repeat(1 + parts.count());
    let imports = |line: &str| {
        let line = line.trim();
        let after_crate = line.split("crate::commands::").skip(1);
        let is_other = |rest: &str| words(rest).next() != Some(verb);
        let uses_parent = line.match_indices(&parents).any(|(at, _)| {
            let is_deeper = line[..at].ends_with("super::");
            let rest = &line[at + parents.len()..];
            // `super::*` is a unit test's import of the file that contains the test.
            !is_deeper && !rest.starts_with("super::") && !rest.starts_with('*')
        });
        after_crate.into_iter().any(is_other) || uses_parent
    };
    let (number, _) = before_tests(source).find(|(_, line)| imports(line))?;
    let path = source.path.display();
    Some(format!("{path}:{number}: a verb must not use another verb; move what they share"))
}

/// Returns the lines of code ahead of the unit tests, in which `super` has another meaning.
fn before_tests(source: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let is_test_file = source.path.file_stem().is_some_and(|stem| stem == "tests");
    source.code().take_while(move |(_, line)| !is_test_file && line.trim() != "#[cfg(test)]")
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    #[test]
    fn adapter_is_reported_outside_wiring() {
        let found = |path| names_adapter(&file(path, "use dubernetes_docker::Docker;"));
        assert!(found("dubernetes-cli/src/commands/apply.rs").is_some());
        assert!(found("dubernetes-cli/src/wiring.rs").is_none());
        assert!(found("dubernetes-cli/src/wiring/docker.rs").is_none());
        assert!(found("tests/src/lib.rs").is_none());
    }

    #[test]
    fn import_of_another_verb_is_reported() {
        let found = |path: &str, line| {
            imports_verb(&file(&format!("dubernetes-cli/src/{path}"), line)).is_some()
        };
        assert!(found("commands/up.rs", "use super::serve;"));
        assert!(found("commands/up.rs", "use super::apply::goals;"));
        assert!(found("commands/up.rs", "use super::{apply, serve};"));
        assert!(found("commands/up.rs", "use super::shared_by_all;"));
        assert!(found("commands/up.rs", "    let x = super::plan::changes(plan);"));
        assert!(found("commands/up.rs", "use crate::commands::serve::serve;"));
        assert!(found("commands/doctor/port.rs", "use super::super::serve;"));
        assert!(found("commands/doctor/port.rs", "use crate::commands::VERSION;"));
    }

    #[test]
    fn import_within_verb_is_accepted() {
        let found = |path: &str, line| {
            imports_verb(&file(&format!("dubernetes-cli/src/{path}"), line)).is_some()
        };
        assert!(!found("commands/doctor/port.rs", "use super::check::Check;"));
        assert!(!found("commands/doctor/engine/port.rs", "use super::super::check::Check;"));
        assert!(!found("commands/doctor/port.rs", "use crate::commands::doctor::check::Check;"));
        assert!(!found("commands/up.rs", "use crate::follow::follow;"));
        assert!(!found("commands/up.rs", "#[cfg(test)]\nmod tests {\n    use super::*;"));
        assert!(!found("commands/doctor/engine/tests.rs", "use super::super::super::serve;"));
        assert!(!found("commands.rs", "use apply::apply;"));
        assert!(!found("lib.rs", "commands::run(command);"));
    }
}
