"""Words that mean something in a log line, whichever program wrote it."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Words of a text."""
    return frozenset(text.split())


#: Words of state. In what else is taken for a value (state=up, WWEN[enable]) they are what a template is about.
STATE = words(
    """
    start started starting stop stopped stopping pause paused resume resumed suspend suspended begin end enter entering
    exit exiting leaving up down online offline enable enabled disable disabled active inactive open opened opening
    close closed closing accept accepted reject rejected refuse refused allow allowed deny denied block blocked permit
    permitted grant granted revoke revoked success successful successfully succeed succeeded fail failed failing failure
    unsuccessful connect connected disconnect disconnected login logout logon logoff lock locked unlock unlocked mount
    mounted unmount unmounted attach attached detach detached create created delete deleted add added remove removed
    insert inserted healthy unhealthy available unavailable valid invalid acquire acquired release released commit
    committed rollback load loaded unload unloaded install installed uninstall uninstalled register registered
    unregister unregistered spawn spawned spawning destroy destroyed destroying terminate terminated terminating kill
    killed initialization finalization ok error
    """
)

#: Words that are values wherever they stand: lines that differ in them may be the same event. Yes, no, on and off are
#: not among them; "none" is not either, since it names a method of logging in.
VALUES = words(
    """
    true false null nil nan inf b kb mb gb tb kib mib gib tib ns us ms s
    mon tue wed thu fri sat sun monday tuesday wednesday thursday friday saturday sunday
    jan feb mar apr may jun jul aug sep oct nov dec january february march april june july august september october
    november december am pm utc gmt cet cest eet eest est edt cst cdt mst mdt pst pdt
    """
)

#: In capitals they say what a request is for.
METHODS = words("GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE")

#: Words after "user", "host", "for" and their like that begin a clause, not a name.
CLAUSES = words(
    """
    a an and any are as at be by can could did does error failed for from had has have id in info into is it its list
    login logged name named new no not of off on or password pool profile request requests role session sessions set
    settings space that the this to was were will with without would process input output data unknown agent account
    accounts space-id group groups invalid illegal mode type limit count token tokens authentication authenticating key
    keys service services defined specified selected supplied provided requested interface interaction interactive event
    events action database table preference preferences switch switched present
    """
)

#: Values that say that there is none.
NOTHING = words("- -- ? * (none) none null nil (null) <null> n/a na unknown (unknown) undefined unset <none> none/none")

#: Last parts of JSON keys whose values name the event: they stay in the template, so that a login is not a logout.
NAMING_KEYS = words(
    """
    event eventname eventtype eventaction eventcategory eventkind action actionname activity operation operationname op
    type kind category method httpmethod httprequestmethod requestmethod verb outcome eventoutcome result status state
    eventdataset phase step alert signature alertsignature rule rulename reason errortype exception exceptiontype
    errorclass level severity eventsource provider providername opcode
    """
)

#: Kinds of entities, those first that say who and where; of a record with too many the last are left out.
RANKED_KINDS = (
    *("user", "ip", "host", "service", "account", "device", "container", "process", "domain", "email", "url", "path"),
    *("status", "session", "request", "uuid", "hash", "port", "pid"),
)

#: Keys whose numbers name the event, as in Windows.
NUMBERED_KEYS = words("eventid eventcode signatureid ruleid")

#: Keys of HTTP status codes, of which the class names the event.
STATUS_KEYS = words("status statuscode httpstatus httpstatuscode responsecode responsestatus responsestatuscode")
