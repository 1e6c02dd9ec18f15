//! Answers to challenges that are published, and their end.

use std::sync::Arc;

use dubernetes_core::certificate::{CertificateError, ChallengeResponder};

/// The tokens that are published. Dropping this withdraws those that are left.
#[derive(Debug)]
pub(super) struct Published {
    responder: Arc<dyn ChallengeResponder>,
    tokens: Vec<String>,
}

impl Published {
    pub(super) fn new(responder: Arc<dyn ChallengeResponder>) -> Self {
        Self { responder, tokens: Vec::new() }
    }

    pub(super) async fn publish(
        &mut self,
        token: &str,
        answer: &str,
    ) -> Result<(), CertificateError> {
        // Before the call: one that fails, or is dropped, may have had an effect.
        self.tokens.push(token.to_owned());
        Ok(self.responder.publish(token, answer).await?)
    }

    /// Withdraws all tokens. A token that stays does no harm: its answer is public.
    pub(super) async fn withdraw(mut self) {
        while let Some(token) = self.tokens.last() {
            withdraw(&*self.responder, token).await;
            self.tokens.pop();
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        let (false, Ok(runtime)) = (tokens.is_empty(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let responder = Arc::clone(&self.responder);
        runtime.spawn(async move {
            for token in tokens {
                withdraw(&*responder, &token).await;
            }
        });
    }
}

async fn withdraw(responder: &dyn ChallengeResponder, token: &str) {
    if let Err(error) = responder.withdraw(token).await {
        let error = dubernetes_core::error::chain(&error);
        tracing::warn!(error, "the answer to a challenge was not withdrawn");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use dubernetes_core::ingress::IngressError;

    use super::*;

    /// Tokens that have an answer. Both calls fail for `broken`, and `slow` never ends.
    #[derive(Debug, Default)]
    struct Answers(Mutex<BTreeSet<String>>);

    #[async_trait]
    impl ChallengeResponder for Answers {
        async fn publish(&self, token: &str, _: &str) -> Result<(), IngressError> {
            self.0.lock().unwrap().insert(token.to_owned());
            if token == "slow" {
                std::future::pending::<()>().await;
            }
            if token == "broken" { Err(IngressError::NotAcknowledged) } else { Ok(()) }
        }

        async fn withdraw(&self, token: &str) -> Result<(), IngressError> {
            self.0.lock().unwrap().remove(token);
            if token == "broken" { Err(IngressError::NotAcknowledged) } else { Ok(()) }
        }
    }

    fn published() -> (Arc<Answers>, Published) {
        let answers = Arc::new(Answers::default());
        let responder: Arc<dyn ChallengeResponder> = Arc::<Answers>::clone(&answers);
        (answers, Published::new(responder))
    }

    #[tokio::test]
    async fn all_tokens_are_withdrawn_even_if_one_fails() {
        let (answers, mut published) = published();
        published.publish("one", "1").await.unwrap();
        let failed = published.publish("broken", "2").await.unwrap_err();
        assert!(matches!(failed, CertificateError::Ingress(_)), "{failed:?}");
        assert_eq!(answers.0.lock().unwrap().len(), 2);
        published.withdraw().await;
        assert!(answers.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn dropped_call_withdraws_its_tokens() {
        let (answers, mut published) = published();
        published.publish("one", "1").await.unwrap();
        // Dropped while the answer is on its way.
        let slow = tokio::time::timeout(std::time::Duration::ZERO, published.publish("slow", "2"));
        assert!(slow.await.is_err());
        assert_eq!(answers.0.lock().unwrap().len(), 2);
        drop(published);
        while !answers.0.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
