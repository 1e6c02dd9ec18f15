//! `diff`: the specifications that are stored against those in files, as a unified diff.

use std::fmt::Write as _;

use dubernetes_api::Client;
use dubernetes_core::error::is_unsafe;
use dubernetes_manifest::{Located, to_yaml};
use similar::{ChangeTag, TextDiff};

use crate::args::DiffArgs;
use crate::output::{self, style};
use crate::report::{CliError, Result, USAGE};
use crate::resolve::existing;
use crate::settings::Settings;
use crate::sources::read_apps;
use crate::target::{Mode, Target};

/// The exit code that says that something differs; errors have higher ones.
const DIFFERS: u8 = 1;

pub(super) async fn run(args: &DiffArgs, settings: &Settings) -> Result {
    let text = compare(args, settings).await.map_err(above_differs)?;
    if text.is_empty() {
        return Ok(());
    }
    output::print(&text)?;
    Err(CliError::already_reported(DIFFERS))
}

fn above_differs(failure: CliError) -> CliError {
    if failure.exit_code() == DIFFERS { failure.exiting_with(USAGE) } else { failure }
}

async fn compare(args: &DiffArgs, settings: &Settings) -> Result<String> {
    let apps = read_apps(&args.files.paths())?;
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let mut text = String::new();
        for app in &apps {
            text.push_str(&compare_app(app, &target.client).await?);
        }
        Ok(text)
    })
    .await
}

async fn compare_app(located: &Located, client: &Client) -> Result<String> {
    let name = &located.spec.name;
    let stored = existing(client.get_app(name.as_str()).await)?;
    let (old, old_name) = match &stored {
        Some(app) => (to_yaml(&app.spec), format!("app/{name} (revision {})", app.status.revision)),
        None => (String::new(), format!("app/{name} (does not exist)")),
    };
    let new_name = format!("app/{name} ({})", located.source);
    Ok(unified(&old, &to_yaml(&located.spec), &old_name, &new_name))
}

/// Nothing if both are equal.
fn unified(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut out = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        if out.is_empty() {
            out = format!("--- {old_name}\n+++ {new_name}\n");
        }
        // Writing to a text cannot fail.
        let _ = writeln!(out, "{}", hunk.header());
        for change in hunk.iter_changes() {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', style::REMOVED),
                ChangeTag::Insert => ('+', style::ADDED),
                ChangeTag::Equal => (' ', anstyle::Style::new()),
            };
            let line: String = change.value().chars().filter(|c| !is_unsafe(*c)).collect();
            let _ = writeln!(out, "{}{sign}{line}{}", style.render(), style.render_reset());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_stands_in_its_surroundings() {
        let old = "name: web\nimage: web:1\nreplicas: 3\n";
        let text = unified(old, &old.replace("web:1", "web:2"), "app/web (revision 1)", "new");
        let expected = "\
--- app/web (revision 1)
+++ new
@@ -1,3 +1,3 @@
 name: web
-image: web:1
+image: web:2
 replicas: 3
";
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), expected);
        assert_eq!(unified(old, old, "a", "b"), "");
    }
}
