(** * Networks and certificates, on the grid

    Definitions only.

    - [cnet]: a network, unit by unit, as in Statement.v, with numbers on the grid. Units are
      numbered from 1 here (binary numbers), from 0 there;
    - [row]: what a certificate says of one unit; [cert]: the rows and the numbers claimed;
    - [core_of], [kept_of]: the linear core of a unit, and what its affine form keeps of it.

    Stands behind network.py and certificate.py. *)

From Coq Require Import ZArith List FMapPositive Bool.
From Lastbit Require Export checker.Integers.
Import ListNotations.
Open Scope Z_scope.

(** A linear unit adds up weights times units, all of them divided by one number if there is one,
    and constants. *)
Inductive cunit :=
| CPixel (p : nat)
| CLinear (ws : sparse) (bs : list Z) (over : option Z)
| CSigmoid (j : positive)
| CSilu (j : positive)
| CGate (i j : positive).

Record cnet := { cpixels : nat; cunits : list cunit; clogits : list positive }.

Record row := {
  r_slope : Z;              (* of the linear core, where the unit has one to choose *)
  r_centre : Z;
  r_off : Z;                (* of the affine form, where the unit has one to choose *)
  r_cols : sparse;          (* columns for earlier units *)
  r_box : bool;             (* forget what the unit depends on: its form is a constant *)
  r_rest : Z;               (* what the affine form leaves, for a value *)
  r_rho : Z;                (* rounding *)
  r_err : Z;                (* what the unit adds to its form *)
  r_rad : Z;                (* half width of its range *)
  r_bend : list Z;          (* by pixel: what the form leaves of a change *)
  r_rem : list Z;           (* by pixel: what the core of the duals leaves of it *)
  r_own : list Z;           (* by pixel: what the unit adds to its change *)
  r_move : list Z;          (* by pixel: bound of its change *)
  r_duals : list Z          (* by class *)
}.

Definition blank : row := {|
  r_slope := 0; r_centre := 0; r_off := 0; r_cols := []; r_box := false; r_rest := 0; r_rho := 0;
  r_err := 0; r_rad := 0; r_bend := []; r_rem := []; r_own := []; r_move := []; r_duals := [] |}.

(** [c_cap] bounds every [r_own]; [c_bound] is R, and [c_upper] is U. *)
Record cert := { c_rows : PositiveMap.t row; c_cap : Z; c_bound : Z; c_upper : Z }.

Definition row_of (c_rows : PositiveMap.t row) (k : positive) : row :=
  match PositiveMap.find k c_rows with Some r => r | None => blank end.

Fixpoint numbered {A} (k : positive) (l : list A) : list (positive * A) :=
  match l with [] => [] | x :: l' => (k, x) :: numbered (Pos.succ k) l' end.

Definition reads_of (o : cunit) : list positive :=
  match o with
  | CPixel _ => []
  | CLinear ws _ _ => map snd ws
  | CSigmoid j | CSilu j => [j]
  | CGate i j => [i; j]
  end.

(** The same unit without the terms of weight 0. *)
Definition strip (o : cunit) : cunit :=
  match o with
  | CLinear ws bs over => CLinear (filter (fun w => negb (fst w =? 0)) ws) bs over
  | _ => o
  end.

(** The linear core and the offset of a unit. A weight that is divided is rounded down. *)
Definition shares (ws : sparse) (over : option Z) : sparse :=
  match over with None => ws | Some c => map (fun w => (fst w * one / c, snd w)) ws end.

Definition core_of (o : cunit) (m : Z) : sparse :=
  match o with
  | CPixel _ => []
  | CLinear ws _ over => shares ws over
  | CSigmoid j | CSilu j => [(m, j)]
  | CGate i _ => [(m, i)]
  end.

Definition offset_of (o : cunit) (b : Z) : Z :=
  match o with
  | CPixel _ => 255 * half
  | CLinear _ bs _ => zsum bs
  | CSigmoid _ | CSilu _ | CGate _ _ => b
  end.

(** What the form of a unit keeps: its core, or nothing. *)
Definition may_box (o : cunit) : bool :=
  match o with CSigmoid _ | CSilu _ | CGate _ _ => true | _ => false end.
Definition kept_of (o : cunit) (r : row) : sparse := if r_box r then [] else core_of o (r_slope r).
