//! The operations of the store in memory.

/// An operation of [`MemoryStore`](super::MemoryStore), for faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreOperation {
    /// `Store::put`.
    Put,
    /// `Store::update_rollout`.
    UpdateRollout,
    /// `Store::record_rollout`.
    RecordRollout,
    /// `Store::get`.
    Get,
    /// `Store::list`.
    List,
    /// `Store::delete`.
    Delete,
    /// `Store::purge`.
    Purge,
    /// `Store::evict`.
    Evict,
    /// `Store::clear_eviction`.
    ClearEviction,
    /// `Store::request_teardown`.
    RequestTeardown,
    /// `Store::finish_teardown`.
    FinishTeardown,
    /// `Store::pin_image`.
    PinImage,
    /// `Store::revisions`.
    Revisions,
    /// `Store::set_secret`.
    SetSecret,
    /// `Store::secrets`.
    Secrets,
    /// `Store::delete_secret`.
    DeleteSecret,
    /// `Store::resolve_secrets`.
    ResolveSecrets,
    /// `Store::set_certificate`.
    SetCertificate,
    /// `Store::drop_certificate`.
    DropCertificate,
    /// `Store::set_authority_account`.
    SetAuthorityAccount,
    /// `Store::authority_account`.
    AuthorityAccount,
    /// `Store::rotate_key`.
    RotateKey,
    /// `Store::append`.
    Append,
    /// `Store::events`.
    Events,
}

impl StoreOperation {
    /// Every operation.
    pub const ALL: [Self; 24] = [
        Self::Put,
        Self::UpdateRollout,
        Self::RecordRollout,
        Self::Get,
        Self::List,
        Self::Delete,
        Self::Purge,
        Self::Evict,
        Self::ClearEviction,
        Self::RequestTeardown,
        Self::FinishTeardown,
        Self::PinImage,
        Self::Revisions,
        Self::SetSecret,
        Self::Secrets,
        Self::DeleteSecret,
        Self::ResolveSecrets,
        Self::SetCertificate,
        Self::DropCertificate,
        Self::SetAuthorityAccount,
        Self::AuthorityAccount,
        Self::RotateKey,
        Self::Append,
        Self::Events,
    ];
}
