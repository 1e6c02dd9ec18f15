//! Answers what a certificate authority asks for, by files in the nginx container. They need no
//! reload.

use async_trait::async_trait;
use bytes::Bytes;
use dubernetes_core::certificate::ChallengeResponder;
use dubernetes_core::ingress::IngressError;
use dubernetes_core::runtime::FileEntry;

use crate::config::{ANSWERS, ROOT};
use crate::error::failure;
use crate::ingress::NginxIngress;
use crate::proxy::RunningNginx;

#[async_trait]
impl ChallengeResponder for NginxIngress {
    async fn publish(&self, token: &str, answer: &str) -> Result<(), IngressError> {
        let nginx = self.running_nginx().await?;
        Ok(self.nginx.put_files(&nginx.id, &entries(token, answer)?).await?)
    }

    async fn withdraw(&self, token: &str) -> Result<(), IngressError> {
        let empty = entries(token, "")?;
        let Ok(nginx) = self.running_nginx().await else { return Ok(()) };
        let path = format!("{ROOT}/{ANSWERS}/{token}");
        let removed = self.nginx.run_command(&nginx.id, &["rm", "-f", &path], None).await;
        if removed.is_ok_and(|result| result.code == 0) {
            return Ok(());
        }
        // A small image may have no `rm`.
        Ok(self.nginx.put_files(&nginx.id, &empty).await?)
    }
}

impl NginxIngress {
    async fn running_nginx(&self) -> Result<RunningNginx, IngressError> {
        let found = self.nginx.find().await?.ok_or_else(|| failure("nginx does not run"))?;
        RunningNginx::from_container(&found).map_err(failure)
    }
}

/// Returns the file with an answer. A token comes from an authority, and becomes part of a path.
fn entries(token: &str, answer: &str) -> Result<[FileEntry; 3], IngressError> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if token.is_empty() || token.len() > 200 || !token.chars().all(is_legal) {
        return Err(failure("the certificate authority sent an illegal token"));
    }
    let folder = format!("{ROOT}/{ANSWERS}");
    let path = format!("{folder}/{token}");
    Ok([
        FileEntry::Directory { path: ROOT.to_owned() },
        FileEntry::Directory { path: folder },
        FileEntry::File { path, contents: Bytes::copy_from_slice(answer.as_bytes()) },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_cannot_leave_its_folder() {
        assert!(entries("aZ09-_", "x").is_ok());
        let long = "a".repeat(201);
        for bad in ["", "..", "../x", "a/b", "a b", "a\n", "é", &long] {
            assert!(entries(bad, "x").is_err(), "{bad:?}");
        }
    }
}
