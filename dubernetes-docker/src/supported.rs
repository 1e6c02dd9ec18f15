//! Which engines are supported: those with everything that this crate uses.

use dubernetes_core::runtime::{RuntimeError, RuntimeInfo};

use crate::from_docker::{PODMAN, parse_api_version};

/// The oldest API with everything that this crate uses: that of Docker Engine 20.10.
const OLDEST_API: (u32, u32) = (1, 41);
/// The oldest Podman, of which later versions are tested. Earlier ones offer the same version of
/// the API, so only their own version tells them apart.
const OLDEST_PODMAN: u32 = 5;

/// Refuses an engine that is too old.
pub(crate) fn check(info: &RuntimeInfo) -> Result<(), RuntimeError> {
    match problem(info) {
        None => Ok(()),
        Some(message) => {
            Err(RuntimeError::Rejected { operation: "work with Dubernetes".to_owned(), message })
        }
    }
}

/// Returns why an engine is not supported, and which one to upgrade to.
fn problem(info: &RuntimeInfo) -> Option<String> {
    let RuntimeInfo { name, version, api_version, .. } = info;
    if name == PODMAN && parse_major(version).is_none_or(|major| major < OLDEST_PODMAN) {
        return Some(format!(
            "this is Podman {version}; upgrade to Podman {OLDEST_PODMAN} or later"
        ));
    }
    if parse_api_version(api_version).is_some_and(|api| api >= OLDEST_API) {
        return None;
    }
    let (major, minor) = OLDEST_API;
    let upgrade = match name == PODMAN {
        true => "a later Podman",
        false => "Docker Engine 20.10",
    };
    Some(format!(
        "{name} {version} offers API {api_version}; upgrade to {upgrade} (API {major}.{minor}) or \
         later"
    ))
}

/// Returns the first number of a version such as `5.8.0-rc1`.
fn parse_major(version: &str) -> Option<u32> {
    version.split(['.', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, version: &str, api: &str) -> Result<(), String> {
        let info = RuntimeInfo {
            name: name.into(),
            version: version.into(),
            api_version: api.into(),
            platform: "linux/amd64".into(),
        };
        super::check(&info).map_err(|error| error.to_string())
    }

    #[test]
    fn old_api_is_refused_with_the_required_version() {
        for api in ["1.41", "1.52", "2.0"] {
            assert_eq!(check("Docker Engine", "1", api), Ok(()), "{api}");
        }
        for api in ["1.40", "1.9", "0.99", "none", ""] {
            let refused = check("Docker Engine", "19.03.1", api).unwrap_err();
            for part in ["19.03.1", "20.10", "1.41"] {
                assert!(refused.contains(part), "{api}: {refused}");
            }
        }
    }

    #[test]
    fn podman_before_5_is_refused_whatever_its_api() {
        for version in ["5.0.0", "5.8.1", "6.0.0-dev", "10.1"] {
            assert_eq!(check(PODMAN, version, "1.41"), Ok(()), "{version}");
        }
        for version in ["4.9.4-rhel", "4.3.1", "3.4.4", "dev", ""] {
            let refused = check(PODMAN, version, "1.41").unwrap_err();
            assert!(refused.contains(&format!("this is Podman {version}")), "{refused}");
            assert!(refused.contains("upgrade to Podman 5 or later"), "{refused}");
        }
        let refused = check(PODMAN, "5.0.0", "1.40").unwrap_err();
        assert!(refused.contains("API 1.40; upgrade to a later Podman (API 1.41)"), "{refused}");
    }

    #[test]
    fn docker_of_a_version_below_5_is_not_taken_for_podman() {
        assert_eq!(check("Docker Engine", "1.0", "1.41"), Ok(()));
    }
}
