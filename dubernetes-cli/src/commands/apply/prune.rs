//! `apply --prune`: deletes the apps with the given labels that the files do not hold.

use std::collections::BTreeMap;

use dubernetes_core::app::{AppName, AppSpec};
use dubernetes_core::selector::Selector;
use jiff::Timestamp;

use crate::args::ApplyArgs;
use crate::confirm;
use crate::follow::Follower;
use crate::output;
use crate::report::{self, CliError, Result, USAGE};
use crate::target::Target;

/// Returns the selector of `--prune`. Each app in the files must have its labels: otherwise a
/// later prune would not find the app once its file is gone.
pub(super) fn selector<'a>(args: &'a ApplyArgs, specs: &[AppSpec]) -> Result<Option<&'a Selector>> {
    let Some(selector) = args.selector.as_ref().filter(|_| args.prune) else {
        return Ok(None);
    };
    match specs.iter().find(|spec| !selector.matches(&spec.labels)) {
        None => Ok(Some(selector)),
        Some(spec) => {
            let what = format!("app/{} does not have the labels of `--selector`", spec.name);
            Err(CliError::with_exit(USAGE, what)
                .help("give each app of these files the labels, so that a later prune finds it"))
        }
    }
}

/// Returns the apps to delete.
pub(super) async fn surplus(
    selector: &Selector,
    specs: &[AppSpec],
    target: &Target,
) -> Result<Vec<AppName>> {
    let apps = target.client.select_apps(selector).await?.into_iter().map(|app| app.name);
    Ok(apps.filter(|name| specs.iter().all(|spec| spec.name != *name)).collect())
}

/// Shows the apps to delete, and asks unless `--yes` is given.
pub(super) async fn confirm(args: &ApplyArgs, surplus: &[AppName]) -> Result {
    if args.yes || surplus.is_empty() {
        return Ok(());
    }
    report::print_line("The files do not hold these apps, which are deleted after the apply:");
    for name in surplus {
        report::print_line(&format!("  app/{name}"));
    }
    let help = "`--yes` deletes without confirmation, `--dry-run` shows what would be deleted";
    confirm::confirm("nothing was changed", help).await
}

/// Deletes the apps, and waits until they are gone.
pub(super) async fn delete(
    args: &ApplyArgs,
    surplus: &[AppName],
    target: &Target,
    follower: &mut Follower<'_>,
) -> Result {
    let mut deleted = BTreeMap::new();
    for name in surplus {
        match target.client.delete_app(name.as_str()).await {
            Err(error) if error.is_not_found() => continue,
            answer => answer?,
        }
        output::print(&format!("app/{name} deleting\n"))?;
        deleted.insert(name.clone(), Timestamp::now());
    }
    if args.wait.detach { Ok(()) } else { follower.until_deleted(deleted).await }
}
