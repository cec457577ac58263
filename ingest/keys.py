"""What a key name says about its value: `src_ip`, `user.name`, `containerId` and their like, by kind of entity.

Names are compared without case and punctuation. A dotted or nested name is tried whole, then without its first parts:
`http.request.user.name` as `httprequestusername`, `requestusername`, `username`, `name`.
"""

from __future__ import annotations

from functools import lru_cache

_NAMES = {
    "user": """user username userid usr uname account_name acct login loginname logname ruser euser remoteuser
        remote_user
        targetusername subjectusername target_user_name subject_user_name source_user src_user dst_user dest_user
        targetuser suser duser actor principal principalname user_principal_name userprincipalname useridentity_username
        samaccountname owner_user login_name user_login useridentifier enduser enduser_id effective_user run_as
        customer customerid customer_id client_user db_user operator member memberid uid auid cashier""",
    "ip": """ip ipaddr ip_address ipaddress src_ip srcip source_ip sourceip source_address src_addr saddr srcaddr dst_ip
        dstip dest_ip destip destination_ip destination_address dst_addr daddr client_ip clientip client_addr
        client_address remote_ip remote_addr remoteaddr remote_address peer_ip peer_addr peer_address server_ip
        server_address host_ip hostip node_ip nodeip pod_ip podip local_ip local_addr addr raddr laddr
        x_forwarded_for forwarded_for xff sourceipaddress source_ip_address origin_ip originip network_client_ip
        client_remote net_peer_ip net_host_ip net_sock_peer_addr id_orig_h id_resp_h orig_h resp_h gateway_ip
        callerip caller_ip_address src_host_ip actor_ip ip_src ip_dst srcipaddr dstipaddr""",
    "host": """host hostname host_name host_id node nodename node_name node_id nodeid machine machine_name computer
        computername server server_name servername rhost dhost shost dvchost workstation workstation_name
        workstationname src_host dst_host dest_host source_host destination_host remote_host peer_host target_host
        agent_hostname instance instance_name instance_id instanceid k8s_node_name kubernetes_host vm vm_name
        fqdn fromhost upstream_host peer peer_name broker""",
    "service": """service service_name servicename svc svc_name app app_name appname application application_name
        component component_name program facility_name systemd_unit k8s_deployment_name deployment
        deployment_name target_service upstream_service dependency callee caller_service peer_service job job_name""",
    "process": """process process_name processname proc proc_name comm syslog_identifier new_process_name
        newprocessname parent_process_name parentprocessname process_executable_name
        executable exe""",
    "pid": "pid process_id processid process_pid ppid parent_pid opid child_pid syslog_pid procid",
    "path": """path file filename file_name file_path filepath filename_path url_path uri_path request_path requestpath
        http_target http_route route target_path pwd cwd cs_uri_stem objectname targetfilename dir directory
        key_path endpoint""",
    "url": "url uri request_url http_url full_url request_uri url_full url_original referrer referer http_referer href",
    "domain": """domain domain_name domainname query qname dns_query dns_question_name rrname sni tls_sni server_domain
        tls_server_name registered_domain zone dns_domain""",
    "port": """port src_port srcport sport source_port sourceport dst_port dstport dport dest_port destport
        destination_port client_port server_port remote_port remoteport local_port localport net_peer_port
        net_host_port listen_port rport lport spt dpt id_orig_p id_resp_p ip_port""",
    "email": "email email_address mail mail_from mailfrom rcpt_to rcptto recipient user_email e_mail contact_email",
    "hash": """hash md5 sha1 sha256 sha512 sha_1 sha_256 checksum digest fingerprint file_hash filehash imphash
        commit commit_sha image_digest ja3 ja3s""",
    "uuid": "uuid guid",
    "session": """session session_id sessionid sess sess_id sid session_key ssid logon_id logonid targetlogonid
        subjectlogonid ses session_uuid conversation_id block_id blockid transaction_id transactionid txn_id txnid
        tx_id txid order_id orderid connection_id conn_id connid""",
    "request": """request_id requestid req_id reqid rid req request x_request_id xrequestid correlation_id
        correlationid trace_request_id cf_ray invocation_id message_id messageid msgid global_request_id""",
    "trace": "trace_id traceid trace otel_trace_id dd_trace_id x_b3_traceid",
    "span": "span_id spanid span",
    "status": """status status_code statuscode http_status http_status_code httpstatus httpstatuscode response_code
        responsecode response_status response_status_code http_response_status_code rc exit_code exitcode exit_status
        return_code returncode retcode errno error_code errorcode outcome event_outcome result res
        eventresult win_status sc_status""",
    "device": """device device_id deviceid device_name dev interface iface ifname nic mac mac_address macaddr
        hwaddr disk volume sensor sensor_id serial_number terminal_id terminalid pos_terminal meter_id imei
        src_mac dst_mac port_name ifindex_name""",
    "container": """container container_id containerid container_name containername pod pod_name podname pod_uid
        k8s_pod_name k8s_pod_uid k8s_container_name kubernetes_pod_name kubernetes_container_name docker_container_id
        cid service_instance_id""",
    "account": """account account_id accountid account_number accountnumber acct_id acctid aws_account_id
        awsaccountid cloud_account_id subscription_id subscriptionid tenant_id tenantid project_id projectid iban card
        card_id cardid card_number pan sender receiver from_account to_account src_account dst_account beneficiary
        merchant merchant_id merchantid payer payee""",
}


def _compact(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


_KINDS = {_compact(name): kind for kind, names in _NAMES.items() for name in names.split()}

#: Numbers of users: they name one only where no real name is given.
NUMERIC_USERS = frozenset({"uid", "auid"})


@lru_cache(maxsize=8192)
def kind_of_key(name: str) -> str | None:
    """Kind of the value under a key, or None where the name does not say; `trace` and `span` are the record's ids."""
    parts = [part for part in name[:256].replace("[", ".").replace("/", ".").split(".") if _compact(part)]
    for first in range(len(parts)):
        compact = _compact("".join(parts[first:]))
        kind = _KINDS.get(compact)
        if kind is not None:
            return kind
    return None


@lru_cache(maxsize=8192)
def is_numeric_user(name: str) -> bool:
    """Whether the key holds the number of a user, not a name."""
    return _compact(name.rsplit(".", 1)[-1]) in NUMERIC_USERS
