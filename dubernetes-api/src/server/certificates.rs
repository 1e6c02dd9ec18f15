//! Endpoints for certificates. Keys are never shown.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use dubernetes_controller::HostCertificate;
use dubernetes_core::app::HostName;
use dubernetes_core::certificate::Authority;
use jiff::Timestamp;

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::extract::{Name, NoParams, Params};
use crate::wire::{Certificate, CertificateSource, CertificateState, List, RootCertificate};

/// List the certificates of hosts that are served over HTTPS, ordered by host.
#[utoipa::path(get, path = path::CERTIFICATES, operation_id = "list_certificates",
    tag = "system", responses((status = 200, body = List<Certificate>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<JsonResponse<List<Certificate>>, ApiError> {
    state.latest_snapshot().await;
    let now = state.clock.now();
    let certificates = state.controller.certificates().into_iter();
    Ok(JsonResponse(List::new(certificates.map(|found| certificate(found, now)).collect())))
}

/// Get the certificate that clients have to trust for hosts with `tls: internal`.
#[utoipa::path(get, path = path::CERTIFICATE_ROOT, operation_id = "get_root_certificate",
    tag = "system", responses(
    (status = 200, body = RootCertificate),
    (status = 404, description = "The instance's own authority has issued no certificate"),
))]
pub(super) async fn root(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<JsonResponse<RootCertificate>, ApiError> {
    let root = state.controller.internal_root().await?;
    let pem = root.ok_or_else(|| ApiError::not_found("certificate", "root"))?;
    Ok(JsonResponse(RootCertificate { pem }))
}

/// Replace the certificate of a host now, or order it again after a failure. The present one is
/// served until then.
#[utoipa::path(post, path = path::CERTIFICATE_RENEWAL, operation_id = "renew_certificate",
    tag = "system",
    params(("name" = String, Path, description = "The host")),
    responses(
        (status = 202, description = "It is due now"),
        (status = 404, description = "No authority issues a certificate for the host"),
    )
)]
pub(super) async fn renew(
    State(state): State<ApiState>,
    Name(host): Name,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    let missing = || ApiError::not_found("certificate", &host);
    let name = HostName::parse(&host).map_err(|_| missing())?;
    match state.controller.renew_certificate(&name).await? {
        true => Ok(StatusCode::ACCEPTED),
        false => Err(missing()),
    }
}

fn certificate(found: HostCertificate, now: Timestamp) -> Certificate {
    let HostCertificate { host, app, authority, info, renew_at, is_served, problem, next_try } =
        found;
    let not_after = info.as_ref().map(|info| info.not_after);
    let state = match not_after {
        Some(not_after) if is_served && not_after <= now => CertificateState::Expired,
        _ if is_served => CertificateState::Served,
        None if problem.is_some() => CertificateState::Failed,
        Some(_) | None => CertificateState::Pending,
    };
    Certificate {
        host,
        app,
        source: match authority {
            Some(Authority::Acme) => CertificateSource::Auto,
            Some(Authority::Internal) => CertificateSource::Internal,
            None => CertificateSource::Provided,
        },
        state,
        issuer: info.as_ref().map(|info| info.issuer.clone()),
        not_before: info.as_ref().map(|info| info.not_before),
        not_after,
        renew_at,
        message: problem.unwrap_or_default(),
        next_try,
    }
}
