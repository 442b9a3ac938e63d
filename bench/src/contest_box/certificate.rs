//! A server's certificate and its key as files: what a contestant over https shows, and whom its generator is to trust.

use crate::error::{Error, Result};
use flowtest_contract::utc_us;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Both, in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dates {
    Now,
    /// Until the first day of 2021.
    Expired,
    /// No longer than that from now on.
    For(Duration),
}

impl Certificate {
    /// Makes one that has signed itself, for these hosts.
    pub fn make(folder: &Path, name: &str, hosts: &[&str], dates: Dates) -> Result<Certificate> {
        let failed = |error: rcgen::Error| Error::Other(format!("making the certificate of {name}: {error}"));
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(hosts).map_err(failed)?;
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        match dates {
            Dates::Now => {}
            Dates::Expired => {
                params.not_before = rcgen::date_time_ymd(2020, 1, 1);
                params.not_after = rcgen::date_time_ymd(2021, 1, 1);
            }
            Dates::For(length) => {
                let now = Duration::from_micros(utc_us().0);
                params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + length;
            }
        }
        let key = rcgen::KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        let write = |ends: &str, text: String| {
            let path = folder.join(format!("{name}-{ends}.pem"));
            std::fs::write(&path, text).map_err(Error::io(format!("writing {}", path.display())))?;
            Ok::<PathBuf, Error>(path)
        };
        Ok(Certificate { certificate: write("cert", certificate.pem())?, key: write("key", key.serialize_pem())? })
    }

    /// The file that a generator names by `--ca` to trust it.
    pub fn path(&self) -> String {
        self.certificate.display().to_string()
    }

    pub fn key_path(&self) -> String {
        self.key.display().to_string()
    }

    /// The flags of a target that shows it, on a port of its own beside the plain one.
    pub fn flags(&self) -> [String; 6] {
        ["--listen-tls", "127.0.0.1:0", "--tls-cert", &self.path(), "--tls-key", &self.key_path()].map(str::to_owned)
    }
}
