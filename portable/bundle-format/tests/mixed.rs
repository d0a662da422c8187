//! Claims about bundles put together from several: each is refused by whoever reads the file, with what is wrong.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bulkhead_bundle_format::*;

const PAGES: [u32; 2] = [8192, 4096];

/// Two areas, die and external, of `fill`.
fn images(fill: u8) -> [Vec<u8>; 2] {
    [vec![fill; 10_000], vec![fill ^ 0xFF; 5_000]]
}

fn areas<'a>(images: &'a [Vec<u8>; 2], pages: [u32; 2]) -> [AreaImage<'a>; 2] {
    let area = |id: u32, medium, kind, image: &'a Vec<u8>, page_size| AreaImage {
        id,
        medium,
        base: 0,
        length: u32::try_from(image.len()).unwrap(),
        kind,
        page_size,
        image,
    };
    [
        area(1, Medium::Die, AreaKind::Code, &images[0], pages[0]),
        area(2, Medium::External, AreaKind::Constant, &images[1], pages[1]),
    ]
}

fn payload(areas: &[AreaImage<'_>], class: &str) -> Result<Vec<u8>, Refused> {
    encode_manifest(&ManifestFields {
        update_id: [1; 16],
        sequence: 1,
        security_counter: 0,
        device_class: class,
        board_revisions: Revisions { least: 1, greatest: 1 },
        abi: Revisions { least: 1, greatest: 1 },
        name: "n",
        version: "v",
        areas,
        policy: Policy::default(),
    })
}

fn file(fill: u8, class: &str) -> Vec<u8> {
    let images = images(fill);
    let areas = areas(&images, PAGES);
    write_bundle(&payload(&areas, class).unwrap(), &areas, &Signer::from_secret(&[7; 32])).unwrap()
}

/// Envelope and images of a file.
fn parts(file: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let start = usize::try_from(BundleHeader::parse(file).unwrap().images_start()).unwrap();
    (file[..start].to_vec(), file[start..].to_vec())
}

#[test]
fn an_envelope_with_images_of_another_bundle_is_refused() {
    let ((head, images), (other_head, other_images)) = (parts(&file(1, "a")), parts(&file(2, "a")));
    let first_page = Err(Refused::File(FileFault::PageDigest { area: 1, page: 0 }));
    assert_eq!(read_bundle(&[head.clone(), other_images.clone()].concat()).map(|_| ()), first_page);
    assert_eq!(read_bundle(&[other_head, images.clone()].concat()).map(|_| ()), first_page);
    // One area of each: the other area is the one that is named.
    let mixed = [&head[..], &images[..10_000], &other_images[10_000..]].concat();
    let second_area = Refused::File(FileFault::PageDigest { area: 2, page: 0 });
    assert_eq!(read_bundle(&mixed), Err(second_area));
    assert_eq!(second_area.to_string(), "page 0 of area 2 is damaged, or of another bundle");
    // One page of each.
    let mixed = [&head[..], &images[..8192], &other_images[8192..10_000], &images[10_000..]].concat();
    assert_eq!(read_bundle(&mixed), Err(Refused::File(FileFault::PageDigest { area: 1, page: 1 })));
    // The same areas in another order.
    let swapped = [&head[..], &images[10_000..], &images[..10_000]].concat();
    assert!(read_bundle(&swapped).is_err());
}

#[test]
fn a_signature_of_another_manifest_is_refused() {
    let (a, b) = (parts(&file(1, "a")).0, parts(&file(1, "b")).0);
    let keys = [Signer::from_secret(&[7; 32]).public_key()];
    let mixed = [&a[12..a.len() - 64], &b[b.len() - 64..]].concat();
    assert_eq!(verify(&mixed, &keys), Err(Refused::Signature));
    assert!(verify(&a[12..], &keys).is_ok());
}

#[test]
fn areas_made_for_different_devices_are_not_put_into_one_manifest() {
    let [die, external] = images(1);
    let both = [die, external];
    let [code, constants] = areas(&both, [8192, 4096]);
    let other = AreaImage { id: 2, base: 16_384, page_size: 4096, ..code };
    let refused = payload(&[code, other], "a");
    assert_eq!(refused, Err(Refused::Contradiction(ManifestFault::PageSizesDiffer(1, 2))));
    let twice = AreaImage { id: 2, ..code };
    let refused = payload(&[code, twice], "a");
    assert_eq!(refused, Err(Refused::Contradiction(ManifestFault::AreasOverlap(1, 2))));
    assert!(payload(&[code, constants], "a").is_ok());
}

#[test]
fn a_manifest_is_not_written_around_images_that_it_does_not_name() {
    let (one, two) = (images(1), images(2));
    let payload = payload(&areas(&one, PAGES), "a").unwrap();
    let written = write_bundle(&payload, &areas(&two, PAGES), &Signer::from_secret(&[7; 32]));
    assert_eq!(written, Err(Refused::File(FileFault::PageDigest { area: 1, page: 0 })));
}
