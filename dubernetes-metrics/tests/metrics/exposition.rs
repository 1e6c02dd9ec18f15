//! Reads exported metrics.

use std::collections::{BTreeMap, BTreeSet};

/// Exported metrics: families with their kinds, and series with their values.
#[derive(Debug)]
pub(crate) struct Exposition {
    /// The kind of each family.
    pub(crate) families: BTreeMap<String, String>,
    /// The value of each series, by its name with its labels.
    pub(crate) series: BTreeMap<String, f64>,
}

impl Exposition {
    pub(crate) fn read(text: &str) -> Self {
        let mut exposition = Self { families: BTreeMap::new(), series: BTreeMap::new() };
        let body = text.strip_suffix("# EOF\n").expect("the text ends with `# EOF`");
        for line in body.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').unwrap();
                let former = exposition.families.insert(name.to_owned(), kind.to_owned());
                assert_eq!(former, None, "{name} is there twice");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value = value.parse().unwrap();
                let former = exposition.series.insert(series.to_owned(), value);
                assert_eq!(former, None, "{series} is there twice");
            }
        }
        exposition
    }

    /// Returns the value of a series.
    pub(crate) fn value(&self, series: &str) -> f64 {
        let value = self.series.get(series);
        *value.unwrap_or_else(|| panic!("no {series} in {:#?}", self.series))
    }

    /// Returns the names that series of the families can have.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let suffixes = |kind: &str| match kind {
            "counter" => &["_total"][..],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_count", "_sum"],
            "info" => &["_info"],
            other => panic!("{other} is no known kind"),
        };
        let names = self.families.iter().flat_map(|(name, kind)| {
            suffixes(kind).iter().map(move |suffix| format!("{name}{suffix}"))
        });
        names.collect()
    }

    /// Returns the names of the labels that series with this name have.
    pub(crate) fn labels(&self, name: &str) -> BTreeSet<String> {
        let labels = self.series.keys().filter_map(|series| {
            let (own, labels) = series.split_once('{')?;
            (own == name).then_some(labels.trim_end_matches('}'))
        });
        labels
            .flat_map(|labels| labels.split(','))
            .filter_map(|label| label.split_once('=').map(|(name, _)| name.to_owned()))
            .collect()
    }
}
