// What is typed into the console leads to a peer:
//
//   tcp HOST PORT BYTES   connects, sends so many bytes, takes them back and compares
//   http HOST PORT PATH   fetches a page, and says its status, its length and a sum over it
//
// Each is answered by a line that begins with its name.
#pragma once

#include "bh_socket.h"

// Does what a line says; meanwhile `idle` does everything else.
void obey(char *line, bh_socket_idle idle);
