//! Reading of the options of a container.

use std::collections::BTreeMap;

use crate::fields::{Checker, Field, Fields};
use crate::node::Value;
use crate::suggest::example_hint;
use dubernetes_core::app::{ContainerOptions, ParseError, Ulimit, UlimitName};

pub(super) fn read_options<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> ContainerOptions {
    let mut options = ContainerOptions {
        user: checker.parse_optional(fields, "user", str::parse),
        working_dir: checker.parse_optional(fields, "working_dir", str::parse),
        shm_size: checker.parse_optional(fields, "shm_size", str::parse),
        cap_add: read_list(checker, fields, "cap_add"),
        cap_drop: read_list(checker, fields, "cap_drop"),
        devices: read_list(checker, fields, "devices"),
        extra_hosts: read_list(checker, fields, "extra_hosts"),
        ulimits: read_ulimits(checker, fields),
        ..ContainerOptions::default()
    };
    for (key, flag) in [
        ("init", &mut options.init),
        ("read_only", &mut options.read_only),
        ("no_new_privileges", &mut options.no_new_privileges),
    ] {
        let field = checker.optional(fields, key);
        *flag = field.and_then(|field| read_bool(checker, &field)).unwrap_or(*flag);
    }
    let tmpfs = checker.optional(fields, "tmpfs").map(|field| field.items_or_self());
    let tmpfs = tmpfs.unwrap_or_default();
    let parsed: Vec<_> = tmpfs.iter().map(|item| checker.parse(item, str::parse)).collect();
    // One invalid item yields none: the positions of the others would be wrong.
    options.tmpfs = parsed.into_iter().collect::<Option<_>>().unwrap_or_default();
    options
}

pub(super) fn read_bool<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<bool> {
    let flag = field.node.flag();
    if flag.is_none() {
        let found = field.node.describe();
        let message = format!("`{}` must be `true` or `false`, not {found}", field.path);
        checker.report_value(field, message, example_hint(&field.path));
    }
    flag
}

fn read_list<'n, T: std::str::FromStr<Err = ParseError>>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
    key: &str,
) -> Vec<T> {
    let items = checker.optional(fields, key).and_then(|field| checker.items(&field));
    let items = items.unwrap_or_default();
    items.iter().filter_map(|item| checker.parse(item, str::parse)).collect()
}

fn read_ulimits<'n>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
) -> BTreeMap<UlimitName, Ulimit> {
    let mut ulimits = BTreeMap::new();
    let Some(field) = checker.optional(fields, "ulimits") else { return ulimits };
    for entry in checker.entries(&field) {
        let limit = if matches!(entry.node.value, Value::Map(_)) {
            read_pair(checker, &entry)
        } else {
            checker.parse(&entry, Ulimit::parse)
        };
        let name = checker.parse_key(&entry, UlimitName::parse);
        if let (Some(name), Some(limit)) = (name, limit) {
            ulimits.insert(name, limit);
        }
    }
    ulimits
}

/// Reads `{ soft: N, hard: N }`, the form of Compose.
fn read_pair<'n>(checker: &mut Checker<'n>, entry: &Field<'n>) -> Option<Ulimit> {
    let fields = checker.object(entry)?;
    let [soft, hard] = ["soft", "hard"].map(|key| {
        let field = checker.required(&fields, key)?;
        checker.text(&field)
    });
    match Ulimit::parse(&format!("{}:{}", soft?, hard?)) {
        Ok(limit) => Some(limit),
        Err(error) => {
            checker.report_value(entry, error.to_string(), example_hint("ulimits"));
            None
        }
    }
}
