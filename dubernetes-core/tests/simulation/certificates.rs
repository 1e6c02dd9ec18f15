//! An authority that issues every certificate at once.

use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::certificate::{Authority, IssuedCertificate, KeyPair, StoredCertificate};
use jiff::Timestamp;

use crate::world::World;

impl World {
    pub(crate) fn issue(&mut self, host: &HostName, authority: Authority) {
        let issued = Some(IssuedCertificate {
            authority,
            pair: KeyPair::from_hash(Secret::new(host.to_string()).hash()),
            not_before: self.now,
            not_after: Timestamp::MAX,
            renew_at: Timestamp::MAX,
        });
        let stored = StoredCertificate { issued, failure: None };
        self.desired.certificates.insert(host.clone(), stored);
    }
}
