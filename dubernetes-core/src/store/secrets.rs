//! Secrets of the instance: how an app gets their contents, and what a changed secret does to the
//! apps that use it. Pure, like [`super::decide_put`].

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::app::content::other_hash;
use crate::app::{
    AppName, AppSpec, Content, ContentHash, HashedSpec, InvalidSpec, MAX_CONTENT_BYTES, ParseError,
    Problem, PullPolicy, RevisionId, Secret, SecretName,
};

use super::put::{self, NextRevision};
use super::{
    Change, Revision, RevisionCause, RevisionRollout, StoreDecision, StoreError, StoredApp,
};

/// A request to create a secret or to change its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSecret {
    /// The name.
    pub name: SecretName,
    /// The value, 1 to [`MAX_CONTENT_BYTES`] bytes.
    pub value: Secret,
    /// The newest revision observed on containers of each app: a new revision is above it.
    pub newest_seen: BTreeMap<AppName, RevisionId>,
    /// The time of the request.
    pub now: Timestamp,
}

impl SetSecret {
    /// Creates a request, if the value has a legal size.
    ///
    /// # Errors
    ///
    /// The value is empty or too large. The error does not repeat it.
    pub fn new(name: SecretName, value: Secret, now: Timestamp) -> Result<Self, ParseError> {
        match value.reveal().len() {
            0 => Err(format!("the value of secret `{name}` is empty").into()),
            bytes if bytes > MAX_CONTENT_BYTES => Err(format!(
                "the value of secret `{name}` has {bytes} bytes, but at most {MAX_CONTENT_BYTES} \
                 are allowed"
            )
            .into()),
            _ => Ok(Self { name, value, newest_seen: BTreeMap::new(), now }),
        }
    }
}

/// The result of setting a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPut {
    /// What happened to the secret.
    pub change: Change,
    /// The apps that got a new revision with the value, ordered by name.
    pub apps: Vec<StoredApp>,
}

/// What may be shown of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// The name.
    pub name: SecretName,
    /// The hash of the value.
    pub hash: ContentHash,
    /// When the value last changed.
    pub updated_at: Timestamp,
    /// The apps that use it, ordered by name.
    pub used_by: Vec<AppName>,
}

impl AppSpec {
    /// Returns the names of the secrets that the app uses.
    pub fn secret_names(&self) -> BTreeSet<&SecretName> {
        self.content_refs().into_iter().filter_map(|(_, found)| found.secret_name()).collect()
    }

    /// Sets the hashes of secrets that were not read, for a comparison with a stored app.
    pub fn set_secret_hashes(&mut self, hashes: &BTreeMap<SecretName, ContentHash>) {
        for (_, reference) in self.content_refs_mut() {
            let hash = reference.secret_name().and_then(|name| hashes.get(name));
            if let (Content::Unread, Some(hash)) = (&reference.content, hash) {
                reference.content = Content::Hash(*hash);
            }
        }
    }
}

/// Fills in the contents of the secrets that an app refers to, from those that the store holds. A
/// content that is already known is kept: it is the value of an earlier put.
///
/// # Errors
///
/// [`StoreError::Invalid`] if a secret is missing, has another hash than the specification gives,
/// or cannot be used where the app uses it. No error repeats a value.
pub fn resolve_secrets(
    spec: &mut AppSpec,
    secrets: &BTreeMap<SecretName, Secret>,
) -> Result<(), StoreError> {
    let name = spec.name.clone();
    let mut problems = Vec::new();
    for (path, reference) in spec.content_refs_mut() {
        let Some(secret) = reference.secret_name() else { continue };
        let given = match &reference.content {
            Content::Known(_) => continue,
            Content::Hash(given) => Some(*given),
            Content::Unread => None,
        };
        let (message, hint) = match (secrets.get(secret), given) {
            (None, _) => missing_secret(secret),
            (Some(value), Some(given)) if value.hash() != given => (
                other_hash(&reference.source, value.hash(), given),
                "delete `sha256` to accept the secret as it is now".to_owned(),
            ),
            (Some(value), _) => {
                reference.content = Content::Known(value.clone());
                continue;
            }
        };
        problems.push(Problem { path, message, hint: Some(hint) });
    }
    if problems.is_empty() && !spec.secret_names().is_empty() {
        problems = content_problems(spec);
    }
    match problems {
        none if none.is_empty() => Ok(()),
        problems => Err(StoreError::Invalid { name, problems: InvalidSpec { problems } }),
    }
}

/// Returns the message about a secret that does not exist, and what to do.
pub fn missing_secret(name: &SecretName) -> (String, String) {
    (
        format!("there is no secret `{name}`"),
        format!("create it: `dubernetes secret set {name}` reads its value from standard input"),
    )
}

/// Decides what a changed secret does to a live app with these revisions: a revision with the new
/// value, or nothing if the app does not use the secret or has this value.
///
/// # Errors
///
/// [`StoreError::Invalid`] if the app cannot use the value; [`StoreError::Failed`] if revision
/// numbers are used up.
pub fn decide_secret_change(
    app: &StoredApp,
    revisions: &[Revision],
    set: &SetSecret,
) -> Result<Option<StoreDecision>, StoreError> {
    let mut spec = AppSpec::clone(&app.spec);
    for (_, reference) in spec.content_refs_mut() {
        if reference.secret_name() == Some(&set.name) {
            reference.content = Content::Known(set.value.clone());
        }
    }
    if spec == *app.spec {
        return Ok(None);
    }
    let problems = content_problems(&spec);
    if !problems.is_empty() {
        let name = spec.name.clone();
        return Err(StoreError::Invalid { name, problems: InvalidSpec { problems } });
    }
    let spec = HashedSpec::from(spec);
    let newest = revisions.iter().rev().find(|kept| kept.spec.hash() == spec.hash());
    let has_failed = newest.is_some_and(|kept| kept.rollout.outcome.failure().is_some());
    let rollout = RevisionRollout {
        cause: RevisionCause::SecretChange { secret: set.name.clone() },
        // Replicas left by a failed attempt must not count as replicas of this one.
        restart_nonce: match has_failed {
            true => put::next_restart_nonce(app, revisions),
            false => app.rollout.restart_nonce,
        },
        ..RevisionRollout::default()
    };
    let newest_seen = set.newest_seen.get(&spec.name).copied().unwrap_or(RevisionId::NONE);
    // The value changes, not the image: a tag that has moved waits for the next apply.
    let image_id = app.image_id.clone().filter(|_| spec.pull != PullPolicy::Always);
    let next = NextRevision { spec, image_id, rollout };
    put::supersede(app, revisions, next, newest_seen, set.now).map(Some)
}

/// Returns the broken rules for contents.
fn content_problems(spec: &AppSpec) -> Vec<Problem> {
    let violations = crate::app::rules::check_contents(spec).into_iter();
    violations.map(|violation| violation.problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{ContentRef, EnvValue, ImageRef};
    use crate::store::put::ExistingApp;
    use crate::store::{Outcome, PutApp, RevisionFailure, decide_put};

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn name() -> SecretName {
        SecretName::parse("db").unwrap()
    }

    fn spec() -> AppSpec {
        let web = AppName::parse("web").unwrap();
        let mut spec = AppSpec::new(web, ImageRef::parse("web:1").unwrap());
        spec.env.insert("DB".parse().unwrap(), EnvValue::From(ContentRef::secret(name())));
        spec
    }

    fn set(value: &str) -> SetSecret {
        SetSecret::new(name(), secret(value), Timestamp::UNIX_EPOCH).unwrap()
    }

    fn resolved(value: &str) -> AppSpec {
        let mut spec = spec();
        resolve_secrets(&mut spec, &[(name(), secret(value))].into()).unwrap();
        spec
    }

    fn stored(value: &str) -> (StoredApp, Vec<Revision>) {
        let put = PutApp::new(resolved(value), Timestamp::UNIX_EPOCH);
        let decided = decide_put(ExistingApp::Absent, [], &put).unwrap();
        (decided.put.app, decided.written)
    }

    #[test]
    fn missing_secret_is_located_and_names_the_command() {
        let error = resolve_secrets(&mut spec(), &BTreeMap::new()).unwrap_err();
        let StoreError::Invalid { problems, .. } = error else { panic!("{error}") };
        let [problem] = &problems.problems[..] else { panic!("{problems:?}") };
        assert_eq!((&*problem.path, &*problem.message), ("env.DB", "there is no secret `db`"));
        assert!(problem.hint.as_ref().unwrap().contains("`dubernetes secret set db`"));
    }

    #[test]
    fn given_hash_must_be_that_of_the_secret() {
        let with_hash = |hash| {
            let mut spec = spec();
            for (_, reference) in spec.content_refs_mut() {
                reference.content = Content::Hash(hash);
            }
            spec
        };
        let secrets = [(name(), secret("new"))].into();
        assert!(resolve_secrets(&mut with_hash(secret("new").hash()), &secrets).is_ok());
        let error = resolve_secrets(&mut with_hash(secret("old").hash()), &secrets).unwrap_err();
        assert!(error.to_string().contains("delete `sha256`"), "{error}");
    }

    #[test]
    fn unusable_value_is_refused_without_repeating_it() {
        let secrets = [(name(), secret("canary\0"))].into();
        let error = resolve_secrets(&mut spec(), &secrets).unwrap_err().to_string();
        assert!(error.contains("the secret `db` contains a NUL character"), "{error}");
        assert!(!error.contains("canary"), "{error}");
        let (app, revisions) = stored("old");
        let refused = decide_secret_change(&app, &revisions, &set("canary\0"));
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }

    #[test]
    fn changed_secret_makes_a_revision_with_its_cause() {
        let (app, revisions) = stored("old");
        assert_eq!(decide_secret_change(&app, &revisions, &set("old")).unwrap(), None);
        let decided = decide_secret_change(&app, &revisions, &set("new")).unwrap().unwrap();
        let changed = decided.put.app;
        assert_eq!(changed.spec, resolved("new"));
        assert_eq!((changed.revision, changed.generation.0), (RevisionId(2), 2));
        let cause = RevisionCause::SecretChange { secret: name() };
        assert_eq!(changed.rollout.cause, cause);
        assert_ne!(changed.content_hash(), app.content_hash(), "its replicas are replaced");
        let other = SecretName::parse("other").unwrap();
        let other = SetSecret { name: other, ..set("new") };
        assert_eq!(decide_secret_change(&app, &revisions, &other).unwrap(), None);
    }

    #[test]
    fn value_that_failed_is_tried_again() {
        let (mut app, mut revisions) = stored("old");
        let failure = RevisionFailure {
            at: Timestamp::UNIX_EPOCH,
            reason: "crashed".to_owned(),
            pod: None,
            log: Vec::new(),
            call: None,
        };
        let failed = decide_secret_change(&app, &revisions, &set("bad")).unwrap().unwrap();
        let mut failed = failed.written[0].clone();
        failed.rollout.outcome = Outcome::Failed(Box::new(failure));
        let hash = failed.content_hash();
        app.revision = RevisionId(3);
        revisions.push(failed);
        let again = decide_secret_change(&app, &revisions, &set("bad")).unwrap().unwrap();
        assert_eq!(again.put.app.revision, RevisionId(4));
        assert_ne!(again.put.app.content_hash(), hash);
    }

    #[test]
    fn value_has_one_byte_to_half_a_mebibyte() {
        let new = |bytes: usize| {
            SetSecret::new(name(), Secret::new(vec![7; bytes]), Timestamp::UNIX_EPOCH).is_ok()
        };
        let sizes = [0, 1, MAX_CONTENT_BYTES, MAX_CONTENT_BYTES + 1].map(new);
        assert_eq!(sizes, [false, true, true, false]);
    }
}
