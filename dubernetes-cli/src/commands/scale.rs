//! `scale`: sets the number of replicas of an app, and waits.

use crate::args::ScaleArgs;
use crate::follow::{Follower, Goal};
use crate::output;
use crate::report::{self, Result};
use crate::resolve::find_app;
use crate::settings::Settings;
use crate::target::Target;

pub(super) async fn run(args: &ScaleArgs, settings: &Settings) -> Result {
    Target::with_wait(settings, &args.wait, async |target: &Target| {
        let app = find_app(&target.client, &args.name).await?;
        let mut follower = Follower::new(target, &args.wait).await?;
        let scaled = target.client.scale(app.name.as_str(), args.replicas).await?;
        output::print(&format!(
            "app/{} {}: {}\n",
            app.name,
            scaled.change.as_str(),
            output::replicas(args.replicas.into())
        ))?;
        report::note("the next `apply` sets the number of replicas in its file");
        if !args.wait.detach {
            follower.until_ready(vec![Goal::for_app(&scaled.app)]).await?;
        }
        target.warn_unsupervised("");
        Ok(())
    })
    .await
}
