class RequestOutputKind:
    DELTA = "delta"
    FINAL_ONLY = "final"
