//! `scale`: changes the number of an app's replicas, and waits.

use crate::args::ScaleArgs;
use crate::follow::Follower;
use crate::output;
use crate::report::{self, Result};
use crate::resolve::find_app;
use crate::settings::Settings;
use crate::target::Target;

use super::apply::{goals, warn_unsupervised};

pub(super) async fn run(args: &ScaleArgs, settings: &Settings) -> Result {
    Target::with_wait(settings, &args.wait, async |target: &Target| {
        let app = find_app(&target.client, &args.name).await?;
        let mut follower = Follower::new(target, &args.wait).await?;
        let scaled = target.client.scale(app.name.as_str(), args.replicas).await?;
        let change = scaled.change.as_str();
        output::print(&format!(
            "app/{} {change}: {}\n",
            app.name,
            output::replicas(args.replicas.into())
        ))?;
        report::note("the next `apply` sets the number that its file says");
        if !args.wait.detach {
            follower.until_ready(goals(&[scaled.app])).await?;
        }
        if target.is_in_process() {
            warn_unsupervised("");
        }
        Ok(())
    })
    .await
}
