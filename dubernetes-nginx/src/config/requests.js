// Counts a request at its end. Each log of a server evaluates this once, and then logs nothing.
function count(r) {
    var v = r.variables, app = v.dubernetes_app;
    if (!app) {
        return '';
    }
    try {
        var counts = ngx.shared.dubernetes, seconds = Number(v.request_time), bucket = 0;
        while (bucket < bounds.length && seconds > bounds[bucket]) {
            bucket++;
        }
        var status = v.status.charAt(0);
        counts.incr(app + ' ' + status + ' ' + bucket, 1, 0);
        if (status !== '1') {
            counts.incr(app, seconds, 0);
        }
    } catch (e) {
        // The memory for counts is used up. The request is answered all the same.
    }
    return '';
}

// Answers with all counts.
function show(r) {
    r.return(200, JSON.stringify(ngx.shared.dubernetes.items(1000000)));
}

export default { count, show };
