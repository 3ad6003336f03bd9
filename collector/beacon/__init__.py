"""GET /beacon.js: the script that a site includes. The public side's only answer that is the same for everyone.

- `footfall.js`: the readable source, with its promises and attributes.
- `build`: makes `footfall.min.js` of it, which is committed, so that an installation needs no Node.
- `endpoint`: serves `footfall.min.js`.

It carries no setting of any site, so it may be kept by browsers and proxies, and it sets no cookie.
"""

from collector.beacon.endpoint import BeaconEndpoint

__all__ = ["BeaconEndpoint"]
