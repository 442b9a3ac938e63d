//! Fields of a certificate, as they stand in it. Nothing else of it is looked at: whoever verifies it does that.

use x509_parser::asn1_rs::{Any, Class};
use x509_parser::certificate::Validity;
use x509_parser::prelude::FromDer;

/// Those that say who signed it, whose it is, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    pub issuer: &'a [u8],
    /// From its dates on.
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn read(certificate: &'a [u8]) -> Option<Fields<'a>> {
        let (_, certificate) = Any::from_der(certificate).ok()?;
        let (_, signed) = Any::from_der(certificate.data).ok()?;
        let (rest, first) = Any::from_der(signed.data).ok()?;
        // The version may be left out.
        let (rest, _serial) =
            if first.class() == Class::ContextSpecific { Any::from_der(rest).ok()? } else { (rest, first) };
        let (at_issuer, _signature) = Any::from_der(rest).ok()?;
        let (rest, _issuer) = Any::from_der(at_issuer).ok()?;
        Some(Fields { issuer: &at_issuer[..at_issuer.len() - rest.len()], rest })
    }

    pub fn subject(&self) -> Option<&'a [u8]> {
        self.subject_and_key().map(|(subject, _)| subject)
    }

    /// Its SubjectPublicKeyInfo.
    pub fn public_key(&self) -> Option<&'a [u8]> {
        let (_, at_key) = self.subject_and_key()?;
        let (rest, _key) = Any::from_der(at_key).ok()?;
        Some(&at_key[..at_key.len() - rest.len()])
    }

    /// What stands behind the issuer, split where its SubjectPublicKeyInfo begins.
    fn subject_and_key(&self) -> Option<(&'a [u8], &'a [u8])> {
        let (at_subject, _validity) = Any::from_der(self.rest).ok()?;
        let (at_key, _subject) = Any::from_der(at_subject).ok()?;
        Some((&at_subject[..at_subject.len() - at_key.len()], at_key))
    }

    /// Its last second, since the Unix epoch.
    pub fn not_after(&self) -> Option<u64> {
        let (_, validity) = Validity::from_der(self.rest).ok()?;
        validity.not_after.timestamp().try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_second_of_a_certificate_is_read() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let not_after = |bytes: &[u8]| Fields::read(bytes)?.not_after();
        for (year, seconds) in [(2021, 1_609_459_200), (2049, 2_493_072_000), (2050, 2_524_608_000)] {
            let mut params = rcgen::CertificateParams::new(["host".to_owned()]).expect("a name");
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let certificate = params.self_signed(&key).expect("a certificate");
            assert_eq!(not_after(certificate.der()), Some(seconds), "{year}");
            for cut in [0, 1, 4, 30] {
                assert_eq!(not_after(&certificate.der()[..cut]), None);
            }
        }
    }
}
