//! Archives of images, as `docker save` writes them, and the parts of one that another engine
//! needs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use dubernetes_api::wire::ImageLayers;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tar::{Archive, EntryType};

/// Largest JSON in an archive that is read.
const JSON_LIMIT: u64 = 16 << 20;

/// What has to be sent of an archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shipment {
    /// Parts of the file, in order. The end of an archive has to follow.
    pub(crate) parts: Vec<Range<u64>>,
    /// Number of layers of the image.
    pub(crate) layers: usize,
    /// Number of layers that the other engine does not have.
    pub(crate) missing: usize,
}

impl Shipment {
    /// Returns the number of bytes to send.
    pub(crate) fn size(&self) -> u64 {
        self.parts.iter().map(|part| part.end - part.start).sum()
    }
}

/// An image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: PathBuf,
    layers: Vec<PathBuf>,
}

/// The configuration of an image.
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// An entry of the archive.
struct Entry {
    /// From the end of the entry before it, so with its extended headers.
    place: Range<u64>,
    contents: Range<u64>,
    /// Entry whose contents this one has.
    link: Option<PathBuf>,
}

/// Finds out what an engine with these images needs of an archive of one image.
///
/// An engine has a layer only together with all layers below it, so the layers to leave out are
/// those that the image has in common with another one, from the lowest layer up.
pub(crate) fn find_shipment(
    mut archive: impl Read + Seek,
    known: &[ImageLayers],
) -> io::Result<Shipment> {
    let entries = read_entries(&mut archive)?;
    let images: Vec<Image> = read_json(&mut archive, &entries, Path::new("manifest.json"))?;
    let [image] = images.as_slice() else {
        return Err(malformed(format!("expected one image, found {}", images.len())));
    };
    let config: Config = read_json(&mut archive, &entries, &image.config)?;
    let layers = config.rootfs.diff_ids;
    if layers.len() != image.layers.len() {
        return Err(malformed("the image has another number of layers than its configuration"));
    }
    let common = |other: &ImageLayers| {
        layers.iter().zip(&other.layers).take_while(|(ours, theirs)| ours == theirs).count()
    };
    let present = known.iter().map(common).max().unwrap_or(0);
    let (there, missing) = image.layers.split_at(present);
    let needed: BTreeSet<&Path> = missing.iter().map(|path| resolve(path, &entries)).collect();
    let left_out: BTreeSet<&Path> =
        there.iter().map(|path| resolve(path, &entries)).filter(|p| !needed.contains(p)).collect();
    let mut kept: Vec<_> = entries
        .iter()
        .filter(|(path, _)| !left_out.contains(path.as_path()))
        .map(|(_, entry)| entry.place.clone())
        .collect();
    kept.sort_by_key(|place| place.start);
    Ok(Shipment { parts: kept, layers: layers.len(), missing: missing.len() })
}

fn read_entries(archive: &mut (impl Read + Seek)) -> io::Result<BTreeMap<PathBuf, Entry>> {
    archive.seek(SeekFrom::Start(0))?;
    let mut entries = BTreeMap::new();
    let mut end = 0;
    for entry in Archive::new(archive).entries_with_seek()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let start = entry.raw_file_position();
        let contents = start..start + entry.size();
        let place = end..contents.end.next_multiple_of(512);
        end = place.end;
        let link = match entry.header().entry_type() {
            EntryType::Symlink => entry.link_name()?.map(|to| join(&path, &to)),
            EntryType::Link => entry.link_name()?.map(|to| to.into_owned()),
            _ => None,
        };
        entries.insert(path, Entry { place, contents, link });
    }
    Ok(entries)
}

/// Resolves a relative link of the entry at `path`.
fn join(path: &Path, link: &Path) -> PathBuf {
    let mut joined = path.parent().unwrap_or(Path::new("")).to_owned();
    for part in link.components() {
        match part {
            Component::ParentDir => {
                joined.pop();
            }
            Component::Normal(name) => joined.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    joined
}

/// Returns the entry with the contents of `path`: itself, or the one that it links to.
fn resolve<'a>(path: &'a Path, entries: &'a BTreeMap<PathBuf, Entry>) -> &'a Path {
    match entries.get(path).and_then(|entry| entry.link.as_deref()) {
        Some(link) => link,
        None => path,
    }
}

fn read_json<T: DeserializeOwned>(
    archive: &mut (impl Read + Seek),
    entries: &BTreeMap<PathBuf, Entry>,
    path: &Path,
) -> io::Result<T> {
    let name = path.display();
    let entry = entries.get(path).ok_or_else(|| malformed(format!("it has no `{name}`")))?;
    archive.seek(SeekFrom::Start(entry.contents.start))?;
    let size = entry.contents.end - entry.contents.start;
    let mut text = Vec::new();
    archive.take(size.min(JSON_LIMIT)).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(|error| malformed(format!("`{name}`: {error}")))
}

fn malformed(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Returns an archive as Docker 20.10 writes it. Each layer has as many bytes as its digest is
    /// long; `same` layers are links to the first one.
    fn archive(layers: &[&str], same: &[usize]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |path: String, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(bytes.len()).unwrap());
            tar.append_data(&mut header, path, bytes).unwrap();
        };
        let digests: Vec<_> = layers.iter().map(|layer| format!("\"{layer}\"")).collect();
        let config = format!(r#"{{"rootfs":{{"diff_ids":[{}]}}}}"#, digests.join(","));
        add("abc.json".to_owned(), config.as_bytes());
        let mut paths = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            // Longer than a header holds, so with a header of its own.
            let path = format!("{}{number}/layer.tar", "x".repeat(120));
            if !same.contains(&number) {
                add(path.clone(), layer.as_bytes());
            }
            paths.push(path);
        }
        let list: Vec<_> = paths.iter().map(|path| format!("\"{path}\"")).collect();
        let manifest = format!(
            r#"[{{"Config":"abc.json","RepoTags":["web:1"],"Layers":[{}]}}]"#,
            list.join(",")
        );
        add("manifest.json".to_owned(), manifest.as_bytes());
        for number in same {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            let target = format!("../{}", paths[0]);
            tar.append_link(&mut header, &paths[*number], target).unwrap();
        }
        tar.into_inner().unwrap()
    }

    /// Returns the files that are sent, and the numbers of layers and of missing ones.
    fn sent(archive: &[u8], known: &[&[&str]]) -> (Vec<String>, usize, usize) {
        let image = |layers: &&[&str]| ImageLayers {
            id: String::new(),
            layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
        };
        let known: Vec<_> = known.iter().map(image).collect();
        let shipment = find_shipment(Cursor::new(archive), &known).unwrap();
        let position = |place: u64| usize::try_from(place).unwrap();
        let mut bytes: Vec<u8> = shipment
            .parts
            .iter()
            .flat_map(|part| archive[position(part.start)..position(part.end)].to_vec())
            .collect();
        assert_eq!(u64::try_from(bytes.len()).unwrap(), shipment.size());
        bytes.extend([0; 1024]);
        let mut tar = Archive::new(bytes.as_slice());
        let names = tar.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            entry.path().unwrap().display().to_string().trim_start_matches('x').to_owned()
        });
        (names.collect(), shipment.layers, shipment.missing)
    }

    #[test]
    fn layers_below_the_first_difference_are_left_out() {
        let archive = archive(&["base", "libs", "app2"], &[]);
        let all = ["abc.json", "0/layer.tar", "1/layer.tar", "2/layer.tar", "manifest.json"];
        assert_eq!(sent(&archive, &[]), (all.map(str::to_owned).to_vec(), 3, 3));
        let (names, _, missing) = sent(&archive, &[&["base"], &["base", "libs", "app1"]]);
        assert_eq!(
            (names.as_slice(), missing),
            (&["abc.json", "2/layer.tar", "manifest.json"].map(str::to_owned)[..], 1)
        );
        let (names, _, missing) = sent(&archive, &[&["base", "libs", "app2", "more"]]);
        assert_eq!((names.len(), missing), (2, 0));
        // A layer on top of others is another one.
        let (names, _, missing) = sent(&archive, &[&["libs", "app2"]]);
        assert_eq!((names.len(), missing), (5, 3));
    }

    #[test]
    fn layer_that_a_missing_one_links_to_is_sent() {
        let archive = archive(&["base", "libs", "base"], &[2]);
        let (names, _, missing) = sent(&archive, &[&["base", "libs"]]);
        assert_eq!(missing, 1);
        assert!(names.contains(&"0/layer.tar".to_owned()), "{names:?}");
        assert!(!names.contains(&"1/layer.tar".to_owned()), "{names:?}");
    }

    #[test]
    fn malformed_archives_are_errors() {
        for bytes in
            [Vec::new(), vec![0; 1024], vec![7; 4096], archive(&["a"], &[])[..700].to_vec()]
        {
            find_shipment(Cursor::new(bytes), &[]).unwrap_err();
        }
    }
}
