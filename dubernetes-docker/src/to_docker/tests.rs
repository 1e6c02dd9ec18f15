//! Requests as the JSON that the engine receives.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use dubernetes_core::app::{Cpu, Memory, Secret, Signal, Transport};
use dubernetes_core::runtime::{PublishedPort, Stdio, TerminalSize};
use serde_json::{Value, json};

use super::*;

fn default_request() -> ContainerRequest {
    ContainerRequest {
        hostname: "web-1".into(),
        labels: BTreeMap::from([(labels::INSTANCE.into(), "i".into())]),
        network: Some(NetworkAddress {
            network: "net-id".into(),
            address: Some(Ipv4Addr::new(10, 201, 0, 16).into()),
        }),
        ..ContainerRequest::new("dubernetes.i.web-1.r1", "sha256:0")
    }
}

/// Compares the value at each pointer of the request.
#[track_caller]
fn check(request: &ContainerRequest, expected: &[(&str, Value)]) {
    let written = serde_json::to_value(build_container(request, None)).unwrap();
    for (pointer, value) in expected {
        assert_eq!(written.pointer(pointer).unwrap_or(&Value::Null), value, "{pointer}");
    }
}

#[test]
fn sysctls_of_the_interface_are_where_the_engine_expects_them() {
    let sysctls = [("net.ipv4.neigh.IFNAME.a", "1"), ("net.ipv4.neigh.IFNAME.b", "2"), ("c", "3")];
    let sysctls = sysctls.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = ContainerRequest { sysctls: BTreeMap::from(sysctls), ..default_request() };
    let placed = |has_endpoint_options| {
        let mut body = build_container(&request, None);
        place_interface_sysctls(&mut body, has_endpoint_options);
        let body = serde_json::to_value(body).unwrap();
        let endpoint = &body["NetworkingConfig"]["EndpointsConfig"]["net-id"];
        (body["HostConfig"]["Sysctls"].clone(), endpoint["DriverOpts"].clone())
    };
    let old = json!({"net.ipv4.neigh.eth0.a": "1", "net.ipv4.neigh.eth0.b": "2", "c": "3"});
    assert_eq!(placed(false), (old, Value::Null));
    let list = "net.ipv4.neigh.IFNAME.a=1,net.ipv4.neigh.IFNAME.b=2";
    let new = json!({"com.docker.network.endpoint.sysctls": list});
    assert_eq!(placed(true), (json!({"c": "3"}), new));
}

#[test]
fn replica_has_no_restart_policy_and_no_new_privileges() {
    check(
        &default_request(),
        &[
            ("/HostConfig/RestartPolicy/Name", json!("no")),
            ("/HostConfig/Init", json!(true)),
            ("/HostConfig/SecurityOpt", json!(["no-new-privileges"])),
            ("/HostConfig/LogConfig/Type", json!("json-file")),
            ("/HostConfig/LogConfig/Config/max-size", json!("10m")),
            ("/HostConfig/LogConfig/Config/max-file", json!("3")),
            ("/Labels/dubernetes.instance", json!("i")),
            ("/Hostname", json!("web-1")),
        ],
    );
}

#[test]
fn options_have_the_names_of_the_engine() {
    let mut request = default_request();
    request.options = ContainerOptions {
        user: Some("1000:100".parse().unwrap()),
        working_dir: Some("/srv".parse().unwrap()),
        init: false,
        read_only: true,
        no_new_privileges: false,
        cap_add: vec!["NET_ADMIN".parse().unwrap()],
        cap_drop: vec!["ALL".parse().unwrap()],
        devices: vec!["/dev/kvm:r".parse().unwrap()],
        tmpfs: vec!["/run".parse().unwrap(), "/tmp:size=64m,mode=1777".parse().unwrap()],
        shm_size: Some("128Mi".parse().unwrap()),
        ulimits: BTreeMap::from([("nofile".parse().unwrap(), "1024:2048".parse().unwrap())]),
        extra_hosts: vec!["host.docker.internal:host-gateway".parse().unwrap()],
    };
    check(
        &request,
        &[
            ("/User", json!("1000:100")),
            ("/WorkingDir", json!("/srv")),
            ("/HostConfig/Init", json!(false)),
            ("/HostConfig/ReadonlyRootfs", json!(true)),
            ("/HostConfig/SecurityOpt", json!([])),
            ("/HostConfig/CapAdd", json!(["NET_ADMIN"])),
            ("/HostConfig/CapDrop", json!(["ALL"])),
            (
                "/HostConfig/Devices",
                json!([{
                    "PathOnHost": "/dev/kvm",
                    "PathInContainer": "/dev/kvm",
                    "CgroupPermissions": "r",
                }]),
            ),
            ("/HostConfig/Tmpfs", json!({"/run": "", "/tmp": "size=64m,mode=1777"})),
            ("/HostConfig/ShmSize", json!(134_217_728)),
            ("/HostConfig/Ulimits", json!([{"Name": "nofile", "Soft": 1024, "Hard": 2048}])),
            ("/HostConfig/ExtraHosts", json!(["host.docker.internal:host-gateway"])),
        ],
    );
}

#[test]
fn host_folder_with_a_label_is_a_bind_and_an_external_volume_gets_no_label() {
    let mut request = default_request();
    request.volumes = vec!["/srv/a:/a:ro,z".parse().unwrap(), "b:/b:external".parse().unwrap()];
    check(
        &request,
        &[
            ("/HostConfig/Binds", json!(["/srv/a:/a:ro,z"])),
            ("/HostConfig/Mounts/0/Source", json!("b")),
            ("/HostConfig/Mounts/0/VolumeOptions", Value::Null),
            ("/HostConfig/Mounts/1", Value::Null),
        ],
    );
}

#[test]
fn network_is_named_by_id_and_address_is_fixed() {
    check(
        &default_request(),
        &[
            ("/HostConfig/NetworkMode", json!("net-id")),
            (
                "/NetworkingConfig/EndpointsConfig/net-id/IPAMConfig/IPv4Address",
                json!("10.201.0.16"),
            ),
        ],
    );
}

#[test]
fn unset_fields_keep_the_images_values() {
    let unset =
        ["/Entrypoint", "/Cmd", "/StopSignal", "/HostConfig/Memory", "/HostConfig/NanoCpus"];
    check(&default_request(), &unset.map(|pointer| (pointer, Value::Null)));
}

#[test]
fn command_limits_and_environment_are_passed_unchanged() {
    let mut request = default_request();
    request.command = vec!["/bin/app".into()];
    request.args = vec!["$HOME".into()];
    request.env.insert("A".into(), "b=c\n".into());
    request.secret_env.insert("B".into(), Secret::new("d=e"));
    request.stop_signal = Some(Signal::SigQuit);
    request.resources.cpu = Cpu::parse("1500m").ok();
    request.resources.memory = Memory::parse("64Mi").ok();
    check(
        &request,
        &[
            ("/Entrypoint", json!(["/bin/app"])),
            ("/Cmd", json!(["$HOME"])),
            ("/Env", json!(["A=b=c\n", "B=d=e"])),
            ("/StopSignal", json!("SIGQUIT")),
            ("/HostConfig/NanoCpus", json!(1_500_000_000_u64)),
            ("/HostConfig/Memory", json!(64 << 20)),
            ("/HostConfig/MemorySwap", json!(64 << 20)),
        ],
    );
}

#[test]
fn published_port_is_exposed_and_bound() {
    let mut request = default_request();
    let port = |host: [u8; 4]| PublishedPort {
        host_ip: IpAddr::from(host),
        host_port: 8080,
        container_port: 80,
        transport: Transport::Tcp,
    };
    request.ports = vec![port([127, 0, 0, 1]), port([127, 0, 0, 2])];
    let bound = json!([
        {"HostIp": "127.0.0.1", "HostPort": "8080"},
        {"HostIp": "127.0.0.2", "HostPort": "8080"},
    ]);
    let written = serde_json::to_value(build_container(&request, None)).unwrap();
    assert!(written.pointer("/ExposedPorts/80~1tcp").is_some(), "{written}");
    check(&request, &[("/HostConfig/PortBindings/80~1tcp", bound)]);
    request.ports = vec![PublishedPort { transport: Transport::Udp, ..port([0, 0, 0, 0]) }];
    let bound = json!([{"HostIp": "0.0.0.0", "HostPort": "8080"}]);
    check(&request, &[("/HostConfig/PortBindings/80~1udp", bound)]);
}

#[test]
fn mounts_have_their_mode_and_volumes_the_instance_label() {
    let mut request = default_request();
    request.volumes =
        ["data:/data", "/srv/files:/files:ro"].map(|v| Volume::parse(v).unwrap()).into();
    check(
        &request,
        &[
            ("/HostConfig/Mounts/0/Type", json!("volume")),
            ("/HostConfig/Mounts/0/Source", json!("data")),
            ("/HostConfig/Mounts/0/ReadOnly", json!(false)),
            ("/HostConfig/Mounts/1/Type", json!("bind")),
            ("/HostConfig/Mounts/1/Source", json!("/srv/files")),
            ("/HostConfig/Mounts/1/Target", json!("/files")),
            ("/HostConfig/Mounts/1/ReadOnly", json!(true)),
        ],
    );
    let volume = serde_json::to_value(build_volume(&request, "data")).unwrap();
    assert_eq!(volume, json!({ "Name": "data", "Labels": { "dubernetes.instance": "i" } }));
}

#[test]
fn network_reserves_replica_addresses_for_the_planner() {
    let subnet = "10.201.4.0/22".parse().unwrap();
    let owner = Owner { id: "a".into(), folder: "/srv/state".into() };
    let written = build_network(&InstanceName::default(), subnet, Some(&owner));
    let written = serde_json::to_value(written).unwrap();
    let pool = &written["IPAM"]["Config"][0];
    assert_eq!(pool["Subnet"], "10.201.4.0/22");
    assert_eq!(pool["Gateway"], "10.201.4.1");
    assert_eq!(pool["IPRange"], "10.201.7.192/26");
    assert_eq!(written["Labels"]["dubernetes.state-dir"], "/srv/state");
}

#[test]
fn malformed_id_is_not_found() {
    for id in ["", "../images", "a/b", "a?force=1", "a b", "-x", "é"] {
        let error = path_segment(&ContainerId(id.into())).unwrap_err();
        assert!(matches!(error, RuntimeError::NotFound { .. }), "{id}");
    }
    assert!(path_segment(&ContainerId("dubernetes.i.web-1.r1".into())).is_ok());
}

#[tokio::test]
async fn link_to_system_directory_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/etc", &link).unwrap();
    let mut request = default_request();
    request.volumes = vec![Volume::parse(&format!("{}:/data", link.display())).unwrap()];
    let error = resolve_mounts(&request, None, false).await.unwrap_err();
    assert!(error.to_string().contains("/etc"), "{error}");
    let allowed = resolve_mounts(&request, None, true).await.unwrap();
    assert_eq!(allowed.volumes[0].source, VolumeSource::Bind("/etc".into()));
    let plain = folder.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&plain, &link).unwrap();
    let resolved = resolve_mounts(&request, None, false).await.unwrap();
    let real = std::fs::canonicalize(&plain).unwrap();
    assert_eq!(resolved.volumes[0].source, VolumeSource::Bind(real.to_str().unwrap().into()));
}

#[tokio::test]
async fn overlap_with_state_dir_and_unresolvable_path_are_rejected() {
    let outer = tempfile::tempdir().unwrap();
    let outer = std::fs::canonicalize(outer.path()).unwrap();
    let state = outer.join("state");
    let link = outer.join("link");
    std::fs::create_dir_all(state.join("snapshots")).unwrap();
    std::os::unix::fs::symlink(&state, &link).unwrap();
    std::fs::write(outer.join("file"), "").unwrap();
    let check = async |path: &Path, own: &Path| {
        let mut request = default_request();
        request.volumes = vec![Volume::parse(&format!("{}:/data", path.display())).unwrap()];
        resolve_mounts(&request, Some(own), false)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    };
    for path in [&state, &outer, &state.join("snapshots"), &link] {
        for own in [&state, &link] {
            let refused = check(path, own).await.unwrap_err();
            assert!(refused.contains("the state of Dubernetes"), "{path:?}: {refused}");
        }
    }
    assert_eq!(check(&outer.join("state-2"), &state).await, Ok(()), "the engine refuses it");
    let refused = check(&outer.join("file/below"), &state).await.unwrap_err();
    assert!(refused.contains("cannot be resolved"), "{refused}");
}

#[test]
fn input_ends_with_its_first_session() {
    let body = build_container(&default_request(), None);
    assert_eq!(
        (body.open_stdin, body.stdin_once, body.tty),
        (Some(false), Some(false), Some(false))
    );
    let tty = Some(TerminalSize { columns: 91, rows: 33 });
    let request = ContainerRequest { stdio: Stdio { stdin: true, tty }, ..default_request() };
    let body = build_container(&request, None);
    assert_eq!((body.open_stdin, body.stdin_once, body.tty), (Some(true), Some(true), Some(true)));
    assert_eq!(body.host_config.unwrap().console_size, Some(vec![33, 91]));
}
