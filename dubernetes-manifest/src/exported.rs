//! Apps as `dubernetes get -o yaml` and `-o json` print them: a specification between values that
//! the orchestrator adds. Only the specification is read, so that an export can be applied again.

use super::node::{Entry, Node, Value};

/// Returns the specifications in `root` if it is an exported app or a list of exported apps.
pub(super) fn specifications(root: &Node) -> Option<Vec<Node>> {
    let Value::Map(entries) = &root.value else { return None };
    match find(entries, "items").map(|items| &items.value) {
        Some(Value::List(apps)) if !apps.is_empty() => apps.iter().map(exported_spec).collect(),
        _ => exported_spec(root).map(|spec| vec![spec]),
    }
}

/// Returns the specification of an exported app. No manifest has these three keys together.
fn exported_spec(app: &Node) -> Option<Node> {
    let Value::Map(entries) = &app.value else { return None };
    let all = ["generation", "status", "spec"].map(|key| find(entries, key));
    let [Some(_), Some(_), Some(spec)] = all else { return None };
    matches!(spec.value, Value::Map(_)).then(|| spec.clone())
}

fn find<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Node> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}
