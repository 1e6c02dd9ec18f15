//! The group whose members may use the socket of `serve`.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use crate::report::{CliError, Result};

/// The groups of this machine.
const GROUPS: &str = "/etc/group";

/// A group of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketGroup {
    id: u32,
}

impl SocketGroup {
    /// Finds a group by its name or number.
    pub(crate) fn find(group: &str) -> Result<Self> {
        let groups = fs::read_to_string(GROUPS).unwrap_or_default();
        let id = group.parse().ok().or_else(|| find_id(&groups, group));
        id.map(|id| Self { id }).ok_or_else(|| {
            CliError::new(format!("there is no group `{}` in `{GROUPS}`", group.escape_debug()))
                .help(format!("create it with `groupadd --system {}`", group.escape_debug()))
        })
    }

    /// Lets members use the socket at `path`, and reach it in its folder.
    pub(crate) fn admit(self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            let mode = fs::metadata(folder)?.mode() & 0o7777;
            // Where everybody may pass, members may, too.
            if mode & 0o001 == 0 {
                chown(folder, None, Some(self.id))?;
                fs::set_permissions(folder, Permissions::from_mode(mode | 0o010))?;
            }
        }
        chown(path, None, Some(self.id))?;
        fs::set_permissions(path, Permissions::from_mode(0o660))
    }
}

fn find_id(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_is_found_by_whole_name_or_number() {
        let groups = "root:x:0:\ndocker:x:998:ada,bob\nodd\nbad:x:many:\n";
        assert_eq!(find_id(groups, "docker"), Some(998));
        for unknown in ["dock", "odd", "bad", "ada", ""] {
            assert_eq!(find_id(groups, unknown), None, "{unknown}");
        }
        assert_eq!(SocketGroup::find("4711").unwrap(), SocketGroup { id: 4711 });
        let error = SocketGroup::find("no-such-group").unwrap_err().text();
        assert!(error.contains("groupadd --system no-such-group"), "{error}");
    }

    #[test]
    fn group_gets_the_socket_and_the_way_to_it() {
        let outer = tempfile::tempdir().unwrap();
        let own = fs::metadata(outer.path()).unwrap().gid();
        let group = SocketGroup { id: own };
        for (before, after) in [(0o700, 0o710), (0o750, 0o750), (0o755, 0o755)] {
            let folder = outer.path().join(format!("{before:o}"));
            let socket = folder.join("d.sock");
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(before)).unwrap();
            fs::write(&socket, "").unwrap();
            group.admit(&socket).unwrap();
            let modes = [&folder, &socket].map(|path| fs::metadata(path).unwrap().mode() & 0o7777);
            assert_eq!(modes, [after, 0o660]);
        }
    }
}
