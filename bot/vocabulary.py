"""Words that job titles and company names are made of, and what made-up names are put together from."""

from bot.listed import listed

HEADS = frozenset(
    listed(
        "manager director head lead leader engineer developer analyst consultant specialist coordinator "
        "administrator admin "
        "executive assistant architect marketer designer recruiter partner principal strategist associate rep "
        "representative "
        "officer founder cofounder co-founder owner president vp svp evp avp chief ceo cto cmo coo cfo cro cio cpo "
        "chro ciso "
        "sdr bdr ae csm pm accountant programmer intern freelancer entrepreneur controller buyer planner supervisor "
        "technician scientist researcher editor writer producer chairman chairwoman chair trainer coach teacher "
        "professor "
        "nurse doctor lawyer attorney agent broker salesperson salesman dev md gm evangelist treasurer secretary "
        "operator"
    )
)
AREAS = frozenset(
    listed(
        "sales marketing growth product engineering it technology customer success support operations ops revenue "
        "revops "
        "finance people hr human resources business development partnerships demand generation gen data software "
        "security "
        "content brand digital commercial account accounts project program programme office general managing technical "
        "solutions strategy communications talent procurement crm lifecycle performance legal design field regional "
        "global "
        "country community pr event events seo innovation procurement research quality supply chain go-to-market gtm "
        "information vice enablement experience relations client clients public social media email analytics web"
    )
)
RANKS = frozenset(
    listed("senior junior sr jr deputy assistant associate interim acting global regional chief vice lead staff")
)
SUFFIXES = frozenset(
    listed(
        "inc ltd llc gmbh ag sa ab as oy bv nv plc corp corporation co company group holdings labs lab technologies "
        "tech "
        "systems solutions software consulting partners industries ventures media studio studios analytics digital "
        "health "
        "bank foods logistics energy capital international global agency works networks logistik traders"
    )
)
STEMS = listed(
    "Nova Vertex Quill Harbor Lumen Cedar Orbit Delta Maple Summit Raven Copper Echo Falcon Willow Atlas Pioneer "
    "Juniper Crest Ember Aurora Birch Cobalt Drift Garnet Ivory Kestrel Lotus Meridian Nimbus Onyx Pebble Quartz Ridge"
)
ENDS = (
    *("", "", "", "labs", "soft", "flow", "ly", "base", "hub", "works", "metrics"),
    *(" Inc", " Ltd", " GmbH", " Group", " Systems", " Media", " Health", " & Co", " Solutions", " AI"),
)
SURNAMES = listed(
    "Fox Sharma Smith Garcia Chen Martin Novak Weber Rossi Khan Brown Wilson Haddad Okafor Tanaka Silva Kim Nguyen "
    "Lindqvist Kowalski Dubois Moreau Costa Patel Singh Jensen Larsen Murphy Walsh Cohen Levi Popescu Ivanov"
)
SYLLABLES = listed(
    "ka la mi ro ta ne so vi da ri el an jo be lo ma no sa ti er in sh th mar den bel lin vor ras gi hu fa"
)
PRODUCTS = listed("Leadline Trailhead Pipeboard Nurturo Flowdesk Signalbox Campfire Inboxly Growthkit Datadeck")
