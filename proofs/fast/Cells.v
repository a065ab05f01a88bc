(** * What the fast checker keeps of a unit

    Definitions only.

    - [float]: a number in few digits, an integer of a machine and how far it is shifted; [val]: its
      value over 2^100; [near], [above]: a number rounded to one, to the nearest and up;
    - [cell]: what is kept of a unit; [row_of_cell]: as a row of Asked.v;
    - [own_line], [base_line]: under which key the line of a unit's columns is kept. *)

From Coq Require Import ZArith List Bool FMapPositive Uint63.
From Coq Require Sint63.
From Lastbit Require Import fast.FastZ.
From Lastbit Require Export checker.Asked.
Import ListNotations.
Open Scope Z_scope.

(** ** Numbers in few digits *)

(** [f_int * 2^(4 f_n)], over 2^100. *)
Record float := { f_int : int; f_n : nat }.
Definition val (f : float) : Z := Z.shiftl (Sint63.to_Z (f_int f)) (4 * Z.of_nat (f_n f)).
Definition zero : float := {| f_int := 0%uint63; f_n := 0 |}.

(** What is cut off a number of more than 44 binary digits. *)
Definition places (z : Z) : nat :=
  match z with Z0 => O | Zpos p | Zneg p => Nat.sub 25 (Nat.sub 36 (nibbles 36 p)) end.
Definition near (z : Z) : float := let n := places z in {| f_int := of_Z (low_of n z); f_n := n |}.
Definition above (z : Z) : float := let n := places z in {| f_int := of_Z (up_of n z); f_n := n |}.

(** Entries of lines, and the errors of bases: over 2^32. *)
Definition grain : Z := 32.
Definition on_grain (z : Z) : float := {| f_int := of_Z (up_of 17 z); f_n := 17 |}.

(** What is kept of a unit: the numbers of its row, and what its readers need. *)
Record cell := {
  c_slope : float;
  c_centre : float;
  c_off : float;
  c_box : bool;
  c_rest : float;
  c_rho : float;
  c_err : float;
  c_rad : float;
  c_base : bool;
  c_line : option (float * positive);          (* columns: a factor, and a line *)
  c_gap : float;                               (* what a reader's line misses of this unit *)
  c_gap_own : float;                           (* the same, of its change *)
  c_own : float;                               (* what it adds to its change *)
  c_move : float;                              (* bound of its change *)
  c_early : sparse                             (* by pixel: in addition to both *)
}.

(** The row of Asked.v that a cell stands for. What it does not keep is 0 or empty. *)
Definition row_of_cell (c : cell) : row := {|
  r_slope := val (c_slope c); r_centre := val (c_centre c); r_off := val (c_off c);
  r_box := c_box c;
  r_rest := val (c_rest c); r_rho := val (c_rho c); r_err := val (c_err c); r_rad := val (c_rad c);
  r_cols := []; r_bend := []; r_rem := []; r_own := []; r_move := []; r_duals := [] |}.

(** The cells of all units so far; that of unit [j], and its row. *)
Definition cells := PositiveMap.t cell.
Definition blank_cell : cell := {|
  c_slope := zero; c_centre := zero; c_off := zero; c_box := false; c_rest := zero; c_rho := zero;
  c_err := zero; c_rad := zero; c_base := false; c_line := None; c_gap := zero; c_gap_own := zero;
  c_own := zero; c_move := zero; c_early := [] |}.
Definition cell_at (m : cells) (j : positive) : cell :=
  match PositiveMap.find j m with Some c => c | None => blank_cell end.
Definition row_in (m : cells) (j : positive) : row := row_of_cell (cell_at m j).

(** A unit's number from 0 on, as a machine integer; and the keys of its lines. *)
Definition index (k : positive) : int := of_Z (Z.pred (Zpos k)).
Definition own_line (k : positive) : positive := xO k.
Definition base_line (k : positive) : positive := xI k.

(** 1. *)
Definition unit_factor : float := {| f_int := 1%uint63; f_n := 25 |}.

(** The columns that a reader sees: a base is 1 times its own line. *)
Definition view (k : positive) (c : cell) : option (float * positive) :=
  if c_base c then Some (unit_factor, base_line k) else c_line c.
