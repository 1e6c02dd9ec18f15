//! What a change of a store costs that writes the parts of its content that differ, as the one in a
//! swarm does.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dubernetes_core::store::{
    HoldContent, PutApp, Store as _, StoreContent, StoreError, StoreOperation,
};
use dubernetes_testkit::build::app;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;

use crate::processor_time;

#[derive(Debug, Default)]
struct Parts {
    content: Mutex<StoreContent>,
    /// Processor time of the copies, of the comparisons with the copy, and bytes that differ.
    spent: Mutex<(Duration, Duration, usize)>,
}

impl HoldContent for Parts {
    async fn read<R: Send>(
        &self,
        _: StoreOperation,
        read: impl FnOnce(&StoreContent) -> Result<R, StoreError> + Send,
    ) -> Result<R, StoreError> {
        read(&self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn change<R: Send>(
        &self,
        _: StoreOperation,
        _: &str,
        effect: impl FnOnce(&mut StoreContent) -> Result<(R, bool), StoreError> + Send,
    ) -> Result<R, StoreError> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let start = processor_time();
        let mut new = content.clone();
        let copied = processor_time();
        let (answer, _) = effect(&mut new)?;
        let changed = processor_time();
        let parts = new.changed_parts(&content)?;
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.0 += copied - start;
        spent.1 += processor_time() - changed;
        spent.2 += parts.values().flatten().map(Vec::len).sum::<usize>();
        *content = new;
        Ok(answer)
    }

    fn watch(&self) -> BoxStream<'static, ()> {
        stream::pending().boxed()
    }
}

/// Applies apps, and then a change to each.
pub(crate) fn measure(apps: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let parts = Parts::default();
    let put = async |replicas: u16| {
        for number in 0..apps {
            let spec = app(&format!("app{number}"), "app:1", replicas).validate().unwrap();
            parts.put(PutApp::new(spec, Timestamp::UNIX_EPOCH)).await.unwrap();
        }
    };
    runtime.block_on(put(1));
    *parts.spent.lock().unwrap() = Default::default();
    runtime.block_on(put(2));
    let (copy, compare, bytes) = *parts.spent.lock().unwrap();
    let apps = u32::from(apps);
    println!(
        "a change of a store with {apps} apps: copy {:.1?}, find and write what differs {:.1?}, \
         {} bytes differ",
        copy / apps,
        compare / apps,
        bytes / usize::try_from(apps).unwrap()
    );
}
