//! What the simulated nginx serves.

use std::collections::BTreeSet;

use dubernetes_core::ingress::RouteTable;
use dubernetes_nginx::config::ROOT;

use super::Engine;

impl Engine {
    /// Returns the table of the generation that nginx serves.
    pub(crate) fn served(&self) -> RouteTable {
        let state = self.0.lock().unwrap();
        let path = format!("{ROOT}/{}/table.json", state.serving.as_ref().unwrap());
        serde_json::from_str(&state.files[&path]).unwrap()
    }

    pub(crate) fn generations(&self) -> usize {
        let state = self.0.lock().unwrap();
        let folder = |path: &String| path.split('/').nth(4).unwrap_or_default().to_owned();
        state.files.keys().map(folder).collect::<BTreeSet<_>>().len()
    }

    /// Returns true if the configuration that nginx serves contains this text.
    pub(crate) fn reads(&self, text: &str) -> bool {
        let state = self.0.lock().unwrap();
        let folder = format!("{ROOT}/{}/", state.serving.as_ref().unwrap());
        state.files.iter().any(|(path, file)| path.starts_with(&folder) && file.contains(text))
    }

    /// Returns true if nginx serves a private certificate file with this name and text.
    pub(crate) fn has_private(&self, name: &str, text: &str) -> bool {
        let state = self.0.lock().unwrap();
        let path = format!("{ROOT}/{}/certificates/{name}", state.serving.as_ref().unwrap());
        state.private.contains(&path) && state.files.get(&path).is_some_and(|file| file == text)
    }

    /// Returns the hash of the settings that the container was created with.
    pub(crate) fn settings(&self) -> String {
        let state = self.0.lock().unwrap();
        let labels = &state.container.as_ref().unwrap().labels;
        labels["dubernetes.settings"].clone()
    }
}
