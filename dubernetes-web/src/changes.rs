//! Changes of an app: a page with the plan, and a form that carries out what it shows.
//!
//! A form has the generation of the app that its plan is for. If the app has changed since, nothing
//! is done, and the page shows the plan as it is now.

use axum::extract::{Form, Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use dubernetes_api::wire::{App, AppPlan, RolloutAction, RolloutRequest};
use dubernetes_core::app::{AppSpec, MAX_REPLICAS, RevisionId};
use serde::Deserialize;

use crate::Site;
use crate::guard::Refusal;
use crate::pages::{Failure, Page, app_name};
use crate::views::{Preview, change_page, page, quoted};

/// Query and form of a change.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Input {
    /// New number of replicas.
    #[serde(default)]
    replicas: String,
    /// Revision to go back to; empty for the last complete one.
    #[serde(default)]
    to: String,
    /// Token of the form.
    #[serde(default)]
    token: String,
    /// Generation of the app that the plan is for.
    #[serde(default)]
    generation: String,
}

/// A change that was requested.
#[derive(Debug, Clone, Copy)]
enum Change {
    Scale(u16),
    Restart,
    RollBack(Option<RevisionId>),
}

impl Change {
    fn scale(input: &Input) -> Result<Self, Failure> {
        let replicas = input.replicas.trim().parse();
        replicas.map(Self::Scale).map_err(|_| {
            let what = format!("The number of replicas must be from 0 to {MAX_REPLICAS}.");
            Failure::Invalid(what)
        })
    }

    fn roll_back(input: &Input) -> Result<Self, Failure> {
        let to = match input.to.trim() {
            "" => None,
            number => {
                let number = number
                    .parse()
                    .map_err(|_| Failure::Invalid("The revision must be a number.".to_owned()))?;
                Some(RevisionId(number))
            }
        };
        Ok(Self::RollBack(to))
    }

    fn rollout(self) -> Option<RolloutRequest> {
        match self {
            Self::Scale(_) => None,
            Self::Restart => Some(RolloutRequest { action: RolloutAction::Restart, to: None }),
            Self::RollBack(to) => Some(RolloutRequest { action: RolloutAction::Undo, to }),
        }
    }

    async fn plan(self, site: &Site, app: &App) -> Result<AppPlan, Failure> {
        let name = app.name.as_str();
        let plan = match self {
            Self::Scale(replicas) => {
                let spec = AppSpec { replicas, ..app.spec.clone() };
                site.client.plan(&[spec]).await?.apps.into_iter().next()
            }
            Self::Restart | Self::RollBack(_) => match self.rollout() {
                Some(request) => Some(site.client.plan_rollout(name, request).await?),
                None => None,
            },
        };
        plan.ok_or_else(|| Failure::NotFound("The app is being deleted.".to_owned()))
    }

    async fn carry_out(self, site: &Site, name: &str) -> Result<(), Failure> {
        match (self, self.rollout()) {
            (Self::Scale(replicas), _) => site.client.scale(name, replicas).await.map(drop)?,
            (_, Some(request)) => site.client.rollout(name, request).await.map(drop)?,
            (_, None) => {}
        }
        Ok(())
    }

    fn preview(self, site: &Site, app: &App) -> Preview {
        let name = app.name.to_string();
        let word = quoted(&name);
        let program = &site.program;
        let replicas = if let Self::Scale(replicas) = self { replicas } else { app.spec.replicas };
        let (title, path, command, note, fields) = match self {
            Self::Scale(replicas) => (
                match replicas {
                    1 => format!("Scale {name} to 1 replica"),
                    count => format!("Scale {name} to {count} replicas"),
                },
                "scale",
                format!("{program} scale {word} {replicas}"),
                "The next apply sets the number of replicas in its file.",
                vec![("replicas", replicas.to_string())],
            ),
            Self::Restart => (
                format!("Restart {name}"),
                "restart",
                format!("{program} rollout restart {word}"),
                "All replicas are replaced, and the image is resolved again.",
                Vec::new(),
            ),
            Self::RollBack(to) => (
                match to {
                    Some(to) => format!("Roll {name} back to revision {to}"),
                    None => format!("Roll {name} back"),
                },
                "rollback",
                match to {
                    Some(to) => format!("{program} rollback {word} --to {to}"),
                    None => format!("{program} rollback {word}"),
                },
                "The next apply restores the spec in its file.",
                to.map(|to| ("to", to.to_string())).into_iter().collect(),
            ),
        };
        let generation = app.generation;
        Preview {
            app: name,
            title,
            path,
            command,
            note,
            fields,
            generation,
            replicas,
            is_renewed: false,
        }
    }
}

async fn preview(site: &Site, name: &str, change: Change) -> Page {
    if site.guard.is_read_only() {
        return Err(Refusal::ReadOnly.into());
    }
    let app = site.client.get_app(app_name(name)?.as_str()).await?;
    show(site, &app, change, false).await
}

async fn show(site: &Site, app: &App, change: Change, is_renewed: bool) -> Page {
    let plan = change.plan(site, app).await?;
    let preview = Preview { is_renewed, ..change.preview(site, app) };
    Ok(page(&change_page(preview, &plan, site.guard.form_token())))
}

async fn confirm(site: &Site, name: &str, change: Change, input: &Input) -> Page {
    site.guard.check_form(&input.token)?;
    let name = app_name(name)?;
    let app = site.client.get_app(name.as_str()).await?;
    if app.generation.to_string() != input.generation {
        return show(site, &app, change, true).await;
    }
    change.carry_out(site, name.as_str()).await?;
    Ok(redirect(&format!("/apps/{name}")))
}

fn redirect(to: &str) -> Response {
    Redirect::to(to).into_response()
}

pub(crate) async fn preview_scale(
    State(site): State<Site>,
    Path(name): Path<String>,
    Query(input): Query<Input>,
) -> Page {
    preview(&site, &name, Change::scale(&input)?).await
}

pub(crate) async fn scale(
    State(site): State<Site>,
    Path(name): Path<String>,
    Form(input): Form<Input>,
) -> Page {
    confirm(&site, &name, Change::scale(&input)?, &input).await
}

pub(crate) async fn preview_restart(State(site): State<Site>, Path(name): Path<String>) -> Page {
    preview(&site, &name, Change::Restart).await
}

pub(crate) async fn restart(
    State(site): State<Site>,
    Path(name): Path<String>,
    Form(input): Form<Input>,
) -> Page {
    confirm(&site, &name, Change::Restart, &input).await
}

pub(crate) async fn preview_rollback(
    State(site): State<Site>,
    Path(name): Path<String>,
    Query(input): Query<Input>,
) -> Page {
    preview(&site, &name, Change::roll_back(&input)?).await
}

pub(crate) async fn roll_back(
    State(site): State<Site>,
    Path(name): Path<String>,
    Form(input): Form<Input>,
) -> Page {
    confirm(&site, &name, Change::roll_back(&input)?, &input).await
}
