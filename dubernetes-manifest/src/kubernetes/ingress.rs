//! The Ingress: which hosts and paths lead to an app, and their certificates.

use dubernetes_core::app::{
    Access, AppSpec, HostPattern, IssuedTls, ProvidedTls, RouteProtocol, Tls,
};

use super::contents::{encoded, note_contents};
use super::names::{self, Names, metadata};
use super::notes::Notes;
use super::object::Object;

/// What `access` becomes.
#[derive(Debug, Default)]
pub(super) struct Ingress {
    pub(super) ingress: Option<Object>,
    /// Certificates of the user.
    pub(super) secrets: Vec<Object>,
}

pub(super) fn export(spec: &AppSpec, names: &Names, notes: &mut Notes) -> Ingress {
    if spec.access.is_empty() {
        return Ingress::default();
    }
    notes.add(
        "access",
        "an Ingress has an effect only with an ingress controller in the cluster",
        "install one, set `ingressClassName` if there are several, and let the hosts lead there",
    );
    let mut secrets = Vec::new();
    let mut certificates = Vec::new();
    for (index, access) in spec.access.iter().enumerate() {
        let at = if spec.access.len() == 1 { String::new() } else { format!(".{index}") };
        let path = format!("access{at}");
        note_options(access, &path, notes);
        let Some(tls) = access.tls.as_ref().filter(|tls| tls.is_on()) else { continue };
        let part =
            if certificates.is_empty() { "tls".into() } else { format!("tls-{}", index + 1) };
        let name = names.part(&spec.name, &part);
        secrets.extend(certificate(spec, tls, &name, &path, notes));
        let hosts: Vec<String> = access.hosts.iter().map(ToString::to_string).collect();
        certificates.push(Object::new().with("hosts", hosts).with("secretName", name));
    }
    let body = Object::new().with("tls", certificates).with("rules", rules(spec));
    let metadata = metadata(spec.name.as_str(), &spec.name);
    let ingress = Object::of_kind("networking.k8s.io/v1", "Ingress", metadata).with("spec", body);
    Ingress { ingress: Some(ingress), secrets }
}

/// Returns one rule for each host, with all paths that lead from there to the app.
fn rules(spec: &AppSpec) -> Vec<Object> {
    let mut hosts: Vec<(HostPattern, Vec<Object>)> = Vec::new();
    for (host, path) in spec.routes() {
        let port = Object::new().with("number", spec.port_at(&host, path));
        let service = Object::new().with("name", names::service(&spec.name)).with("port", port);
        let path = Object::new()
            .with("path", path.as_str())
            .with("pathType", "Prefix")
            .with("backend", Object::new().with("service", service));
        match hosts.iter_mut().find(|(known, _)| *known == host) {
            Some((_, paths)) => paths.push(path),
            None => hosts.push((host, vec![path])),
        }
    }
    let rule = |(host, paths): (HostPattern, Vec<Object>)| {
        let host = (host != HostPattern::Any).then(|| host.to_string());
        Object::new().with_some("host", host).with("http", Object::new().with("paths", paths))
    };
    hosts.into_iter().map(rule).collect()
}

/// Notes what depends on the controller.
fn note_options(access: &Access, path: &str, notes: &mut Notes) {
    if access.strip_prefix && !access.path.is_root() {
        notes.add(
            format!("{path}.strip_prefix"),
            format!("not exported: the app gets `{}` as a part of each path", access.path),
            "use an annotation of your ingress controller, or an HTTPRoute with \
             `ReplacePrefixMatch`",
        );
    }
    if access.protocol == RouteProtocol::H2c {
        notes.add(
            format!("{path}.protocol"),
            "the port has `appProtocol: kubernetes.io/h2c`, which not every ingress controller \
             follows",
            "look for its annotation for gRPC",
        );
    }
    if access.keepalive {
        notes.say(
            format!("{path}.keepalive"),
            "not exported: the ingress controller decides how long it keeps connections",
        );
    }
    if access.buffer_requests {
        notes.add(
            format!("{path}.buffer_requests"),
            "not exported: whether requests are buffered is for the ingress controller to decide",
            "use its annotation for that",
        );
    }
}

/// Returns the Secret with a certificate of the user, and notes what the cluster has to have.
fn certificate(
    spec: &AppSpec,
    tls: &Tls,
    name: &str,
    path: &str,
    notes: &mut Notes,
) -> Option<Object> {
    let path = format!("{path}.tls");
    let issuer = match tls {
        Tls::Provided(provided) => return provided_certificate(spec, provided, name, &path, notes),
        Tls::Issued(IssuedTls::None) => return None,
        Tls::Issued(IssuedTls::Auto) => "an issuer for ACME",
        Tls::Issued(IssuedTls::Internal) => "an issuer with an authority of your own",
    };
    notes.add(
        path,
        format!(
            "the certificate in the Secret `{name}` does not come by itself, and whether HTTP \
                 is redirected is for the ingress controller to decide"
        ),
        format!(
            "install cert-manager with {issuer}, and name it by the annotation \
                 `cert-manager.io/cluster-issuer`"
        ),
    );
    None
}

fn provided_certificate(
    spec: &AppSpec,
    provided: &ProvidedTls,
    name: &str,
    path: &str,
    notes: &mut Notes,
) -> Option<Object> {
    let known = |reference: &dubernetes_core::app::ContentRef| {
        let is_file = reference.secret_name().is_none();
        reference.known_content().filter(|_| is_file).map(|content| content.reveal().to_vec())
    };
    let (Some(cert), Some(key)) = (known(&provided.cert), known(&provided.key)) else {
        notes.add(
            path,
            format!("the certificate is not exported: the Secret `{name}` must be on the cluster"),
            format!("`kubectl create secret tls {name} --cert=CERT --key=KEY`"),
        );
        return None;
    };
    note_contents(name, path, notes);
    let data = encoded(vec![("tls.crt".to_owned(), cert), ("tls.key".to_owned(), key)]);
    let secret = Object::of_kind("v1", "Secret", metadata(name, &spec.name));
    Some(secret.with("type", "kubernetes.io/tls").with("data", data))
}
