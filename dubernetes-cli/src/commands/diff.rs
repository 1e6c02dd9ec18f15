//! `diff`: compares stored specs with those in files, as a unified diff.

use std::fmt::Write as _;

use diffy::{Line, create_patch};
use dubernetes_api::Client;
use dubernetes_core::error::is_unsafe;
use dubernetes_manifest::{Located, to_yaml};

use crate::args::FileArgs;
use crate::output;
use crate::report::{CliError, Result, USAGE};
use crate::resolve::none_if_missing;
use crate::secrets;
use crate::settings::Settings;
use crate::sources::read_apps;
use crate::style;
use crate::target::{Mode, Target};

/// Exit code for differences. Errors have higher codes.
const DIFFERS: u8 = 1;

pub(super) async fn run(args: &FileArgs, settings: &Settings) -> Result {
    let text = compare(args, settings).await.map_err(raise_exit_code)?;
    if text.is_empty() {
        return Ok(());
    }
    output::print(&text)?;
    Err(CliError::already_reported(DIFFERS))
}

fn raise_exit_code(error: CliError) -> CliError {
    if error.exit_code() == DIFFERS { error.exiting_with(USAGE) } else { error }
}

async fn compare(args: &FileArgs, settings: &Settings) -> Result<String> {
    let mut apps = read_apps(args)?;
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let mut text = String::new();
        // Stored apps show the hash of a secret.
        let hashes = secrets::check(&apps, &target.client).await?;
        apps.iter_mut().for_each(|app| app.spec.set_secret_hashes(&hashes));
        for app in &apps {
            text.push_str(&compare_app(app, &target.client).await?);
        }
        Ok(text)
    })
    .await
}

async fn compare_app(located: &Located, client: &Client) -> Result<String> {
    let name = &located.spec.name;
    let stored = none_if_missing(client.get_app(name.as_str()).await)?;
    let (old, old_name) = match &stored {
        Some(app) => (to_yaml(&app.spec), format!("app/{name} (revision {})", app.status.revision)),
        None => (String::new(), format!("app/{name} (does not exist)")),
    };
    let new_name = format!("app/{name} ({})", located.source);
    Ok(unified_diff(&old, &to_yaml(&located.spec), &old_name, &new_name))
}

/// Returns a unified diff, or an empty text if both are equal.
fn unified_diff(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    let patch = create_patch(old, new);
    let mut out = String::new();
    for hunk in patch.hunks() {
        if out.is_empty() {
            out = format!("--- {old_name}\n+++ {new_name}\n");
        }
        // Writing to a string cannot fail.
        let _ = writeln!(out, "@@ -{} +{} @@", hunk.old_range(), hunk.new_range());
        for line in hunk.lines() {
            let (sign, style, line) = match line {
                Line::Delete(line) => ('-', style::REMOVED, line),
                Line::Insert(line) => ('+', style::ADDED, line),
                Line::Context(line) => (' ', anstyle::Style::new(), line),
            };
            let line: String = line.chars().filter(|c| !is_unsafe(*c)).collect();
            let _ = writeln!(out, "{style}{sign}{line}{style:#}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diff_shows_changed_lines_with_context() {
        let old = "name: web\nimage: web:1\nreplicas: 3\n";
        let new = old.replace("web:1", "web:2");
        let text = unified_diff(old, &new, "app/web (revision 1)", "new");
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
        assert_eq!(unified_diff(old, old, "a", "b"), "");
    }
}
