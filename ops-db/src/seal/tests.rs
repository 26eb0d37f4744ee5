use super::*;

fn content() -> Vec<u8> {
    (0..20_000_u32)
        .flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 7).to_le_bytes())
        .collect()
}

fn manifest() -> Manifest {
    Manifest {
        database: "mautrix_slack".into(),
        ..Manifest::default()
    }
}

fn sealed(recipients: &[Box<dyn age::Recipient + Send>]) -> Vec<u8> {
    let mut sealer = Sealer::new(Vec::new(), recipients).unwrap();
    sealer.write_all(&content()).unwrap();
    sealer.finish(&manifest()).unwrap()
}

fn read(file: &[u8]) -> io::Result<(Vec<u8>, Manifest)> {
    let mut unsealer = Unsealer::new(file)?;
    let mut found = Vec::new();
    unsealer.read_to_end(&mut found)?;
    Ok((found, unsealer.manifest().unwrap().clone()))
}

#[test]
fn what_goes_in_comes_out_with_its_manifest() {
    let file = sealed(&[]);
    assert_eq!(read(&file).unwrap(), (content(), manifest()));
    assert_eq!(peek(&mut io::Cursor::new(&file)).unwrap(), Some(manifest()));
    assert_eq!(
        zstd::decode_all(&*file).unwrap(),
        content(),
        "zstd alone can read it"
    );
}

#[test]
fn without_the_seal_it_is_no_backup() {
    let mut sealer = Sealer::new(Vec::new(), &[]).unwrap();
    sealer.write_all(&content()).unwrap();
    let unsealed = sealer.zstd.finish().unwrap().inner;
    let Layer::Clear(unsealed) = unsealed else {
        panic!("not encrypted")
    };
    let error = read(&unsealed).unwrap_err();
    assert!(
        matches!(damage_of(&error), Some(Damage::Unsealed(_))),
        "{error}"
    );
    assert_eq!(peek(&mut io::Cursor::new(&unsealed)).unwrap(), None);
}

#[test]
fn every_truncation_is_seen() {
    let file = sealed(&[]);
    for length in (0..file.len())
        .step_by(97)
        .chain(file.len() - 300..file.len())
    {
        let error = read(&file[..length]).unwrap_err();
        assert!(
            matches!(damage_of(&error), Some(Damage::Unsealed(_))),
            "{length}: {error}"
        );
    }
}

#[test]
fn every_flipped_bit_of_head_and_seal_is_seen_and_many_between() {
    let file = sealed(&[]);
    let places = (0..64)
        .chain((64..file.len() - 300).step_by(101))
        .chain(file.len() - 300..file.len());
    for place in places {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[place] ^= 1 << bit;
            let error = read(&flipped)
                .err()
                .unwrap_or_else(|| panic!("bit {bit} of byte {place}"));
            assert!(
                damage_of(&error).is_some(),
                "bit {bit} of byte {place}: {error}"
            );
        }
    }
}

#[test]
fn surplus_is_seen() {
    let mut file = sealed(&[]);
    file.push(0);
    let error = read(&file).unwrap_err();
    assert_eq!(damage_of(&error), Some(&Damage::Surplus));
}

#[test]
fn with_recipients_nothing_is_readable_without_a_key() {
    let identity = age::x25519::Identity::generate();
    let file = sealed(&[Box::new(identity.to_public())]);
    assert!(!file.windows(13).any(|window| window == b"mautrix_slack"));
    let decrypted = age::Decryptor::new(&*file)
        .unwrap()
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .unwrap();
    let mut unsealer = Unsealer::new(decrypted).unwrap();
    let mut found = Vec::new();
    unsealer.read_to_end(&mut found).unwrap();
    assert_eq!(found, content());
}

#[test]
fn a_writer_dropped_before_its_seal_cannot_be_decrypted_to_the_end() {
    let identity = age::x25519::Identity::generate();
    let mut file = Vec::new();
    let mut sealer = Sealer::new(&mut file, &[Box::new(identity.to_public())]).unwrap();
    sealer.write_all(&content()).unwrap();
    sealer.flush().unwrap();
    drop(sealer);
    let mut decrypted = age::Decryptor::new(&*file)
        .unwrap()
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .unwrap();
    assert!(decrypted.read_to_end(&mut Vec::new()).is_err());
}
