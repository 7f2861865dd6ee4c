//! TLS, with certificates that `openssl` makes.

use crate::*;
use fanpool::connect::{Redis, Sink};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority, and a certificate and a key for each of two hosts and for a client.
struct Certificates(PathBuf);

impl Certificates {
    fn new() -> Certificates {
        let directory = std::env::temp_dir().join(format!("fanpool-redis-tls-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let own = Certificates(directory);
        own.sign("ca", &["-addext", "basicConstraints=critical,CA:TRUE"]);
        for (name, host) in [("server", "IP:127.0.0.1"), ("other", "DNS:other.example"), ("client", "DNS:client")] {
            let host = format!("subjectAltName={host}");
            let (ca, key) = (own.path("ca.pem"), own.path("ca.key"));
            own.sign(name, &["-addext", &host, "-addext", "basicConstraints=CA:FALSE", "-CA", &ca, "-CAkey", &key]);
        }
        own
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(Path::new(&self.path(name))).unwrap()
    }

    fn sign(&self, name: &str, more: &[&str]) {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        command.args(["-subj", &format!("/CN={name}"), "-out", &self.path(&format!("{name}.pem"))]);
        let made = command.args(["-keyout", &self.path(&format!("{name}.key"))]).args(more).output();
        let made = made.expect("openssl cannot be started: install it with `apt-get install openssl`");
        assert!(made.status.success(), "{made:?}");
    }

    /// A server with that certificate, and its address for TLS.
    fn serve(&self, name: &str, clients: &str) -> (Server, String) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let (certificate, key, ca) = (format!("{name}.pem"), format!("{name}.key"), self.path("ca.pem"));
        let files = [&self.path(&certificate), &self.path(&key), &ca];
        let mut options = vec!["--tls-port", &port, "--tls-auth-clients", clients];
        for (option, file) in ["--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"].iter().zip(&files) {
            options.extend([*option, file.as_str()]);
        }
        (Server::with(&options), format!("127.0.0.1:{port}"))
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn tls_is_spoken_and_certificates_are_checked() {
    let certificates = Certificates::new();
    let ca = certificates.read("ca.pem");
    let (server, address) = certificates.serve("server", "no");
    for redis in [Redis::new([address.clone()]).tls(), Redis::new([format!("rediss://{address}")])] {
        let trusting = redis.clone().authority(ca.clone());
        trusting.sink("q").publish(&numbered(2)).unwrap();
        let (mut reader, mut settler) = open(&mut trusting.source("q", GROUP).create(true));
        let taken = take(&mut *reader, 2);
        assert_eq!(settler.ack(&positions(&taken)).unwrap(), 2);
        let text = refused(redis.sink("q").open());
        assert!(text.contains("certificate"), "{text}");
    }
    // One that does not speak it waits for the end of what it takes for a command.
    let plain = Redis::new([server.address()]).tls().authority(ca.clone()).response_timeout(Duration::from_millis(200));
    lost(plain.sink("q").open());
    let text =
        refused(Redis::new([address.clone()]).tls().authority("-----BEGIN CERTIFICATE-----\nx").sink("q").open());
    assert!(text.contains("PEM"), "{text}");
    assert!(
        Redis::new([address])
            .authority(ca.clone())
            .sink("q")
            .open()
            .unwrap_err()
            .to_string()
            .contains("tls is missing")
    );

    let (_server, address) = certificates.serve("other", "no");
    let text = refused(Redis::new([address]).tls().authority(ca.clone()).sink("q").open());
    assert!(text.contains("for which name"), "{text}");

    let (_server, address) = certificates.serve("server", "yes");
    let redis = Redis::new([address]).tls().authority(ca);
    assert!(redis.sink("q").open().is_err());
    let redis = redis.identity(certificates.read("client.pem"), certificates.read("client.key"));
    redis.sink("q").publish(&numbered(1)).unwrap();
    assert!(!format!("{redis:?}").contains("KEY"));
}
