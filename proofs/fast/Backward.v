(** * Dual vectors and bound (1) in one backward pass, by machine integers

    Definitions, and an example.

    - [visited]: what the walk through the network says of one unit;
    - [backward]: a bound R of bound (1) of docs/bound.md, section 3, for all pairs of classes and
      all pixels, over [2^100], from the units in descending order, the last one first. The dual
      vectors are the adjoint of the core, rounded; what is rounded off is counted as a defect.

    A number of machine integers stands for an integer modulo 2^63 and is read as one between -2^62
    and 2^62: a sum is right whatever its parts were, if only it is known to be small itself, by
    [charge].

    Unit [k] has a scale [s], from the bound of its move, about [2^-s]. Of its dual vector the
    numbers are over [2^36] in units of [2^s], of its remainder and rounding over [2^26] in units of
    [2^-s], and weights are over [2^32], in two limbs of 16 bits and more. Differences of duals are
    rounded up to [2^-30], so that all sums are over [2^56].

    Proved in BackwardSound.v. Stands behind [adjoint] in duals.py and ledger.py. *)

From Coq Require Import ZArith List FMapPositive Bool Uint63.
From Lastbit Require Import checker.Program.
Import ListNotations.
Open Scope Z_scope.

(** The operation without its terms of weight 0, the slope of its core, and bounds over [2^100]: of
    its rounding, of its move, and of its remainder, which when pixel q changes is [v_rem] and the
    entries of [v_early] for it. *)
Record visited := { v_op : cunit; v_slope : Z; v_rho : Z; v_move : Z; v_rem : Z; v_early : sparse }.

(** ** Machine integers *)

(** By how much a signed number is moved to be read as one from 0 on, and the largest sum that is
    accounted for. *)
Definition bias : int := 0x4000000000000000.                 (* 2^62 *)
Definition top : int := 0x2000000000000000.                  (* 2^61 *)

(** The magnitude of a signed number; a signed number over [2^n], rounded down; the larger of two.
    *)
Definition absolute (x : int) : int := if (x <? bias)%uint63 then x else (0 - x)%uint63.
Definition down (n x : int) : int := (((x + bias) >> n) - (bias >> n))%uint63.
Definition larger (x y : int) : int := if (x <? y)%uint63 then y else x.

(** [used + g * f], if it is at most [top]. *)
Definition charge (used g f : int) : option int :=
  if ((used <=? top) && (g <=? (top - used) / (f + 1)))%uint63
  then Some (used + g * f)%uint63 else None.

(** [z / 2^n] rounded up, if it is small and not negative. *)
Definition upward (z n : Z) : option int :=
  let t := - Z.shiftr (- z) n in
  if (0 <=? z) && (t <? 0x100000000000000) then Some (of_Z t) else None.

(** ** Sums for all pairs of classes: of [c] a list for the classes after it *)

(** By how much the duals of two classes differ, over [2^30] rather than [2^36], rounded up. *)
Definition distance (x y : int) : int := ((absolute (x - y) + 63) >> 6)%uint63.

(** To the sums of one class, whose dual is [x]: [f] times its distance from each later class [a].
    *)
Fixpoint against (f x : int) (a sums : list int) : list int :=
  match a with [] => [] | y :: a' => (hd 0%uint63 sums + distance x y * f)%uint63 ::
    against f x a' (tl sums) end.

(** The same for every class. *)
Fixpoint weighed (f : int) (a : list int) (sums : list (list int)) : list (list int) :=
  match a with [] => [] | x :: a' => against f x a' (hd [] sums) :: weighed f a' (tl sums) end.

(** The largest magnitude of a dual vector; and what no distance in it exceeds. *)
Definition most_of (a : list int) : int := fold_right (fun x => larger (absolute x)) 0%uint63 a.
Definition spread (a : list int) : int := ((most_of a >> 5) + 2)%uint63.

(** The sum for classes c < j, and the largest one in two such lists together. *)
Definition sum_of (t : list (list int)) (c j : nat) : int := nth (j - S c) (nth c t []) 0%uint63.

(** The largest sum of two tables, over all pairs of classes. *)
Definition highest (classes : nat) (s t : list (list int)) : Z :=
  fold_right (fun x => Z.max (to_Z (sum_of s (snd x) (fst x)) + to_Z (sum_of t (snd x) (fst x)))) 0
  (pairs classes).

(** ** The pass *)

(** What readers pass back to a unit, by class: the two limbs, a bound of both, and how much weights
    are off by. *)
Record cell := { c_high : list int; c_low : list int; c_mass : int; c_off : int }.

(** The sums for all pixels and [early] ones for each, with bounds, and the defects. *)
Record state := { cells : PositiveMap.t cell; sums : list (list int); mass : int;
  early : PositiveMap.t (list (list int) * int); defects : int }.

(** Nothing has been passed back; what has been passed back to unit [j]; what is booked for pixel
    [q]. *)
Definition empty_cell : cell := {| c_high := []; c_low := []; c_mass := 0; c_off := 0 |}.
Definition cell_at (m : PositiveMap.t cell) (j : positive) : cell :=
  match PositiveMap.find j m with Some c => c | None => empty_cell end.
Definition early_at (m : PositiveMap.t (list (list int) * int)) (q : positive) :
  list (list int) * int :=
  match PositiveMap.find q m with Some e => e | None => ([], 0%uint63) end.

(** [w] times a dual vector added to the sums by class. *)
Fixpoint along (w : int) (a sums : list int) : list int :=
  match a, sums with
  | [], _ => sums
  | x :: a', [] => (w * x)%uint63 :: along w a' []
  | x :: a', y :: sums' => (y + w * x)%uint63 :: along w a' sums'
  end.

(** The dual vector of unit [k]; [unit] is 1. *)
Fixpoint duals (k : positive) (unit : int) (logits : list positive) (high low : list int) :
  list int :=
  match logits with
  | [] => []
  | l :: logits' =>
      let x := (down 16 (hd 0 high + down 16 (hd 0 low)))%uint63 in
      (if Pos.eqb l k then (x + unit)%uint63 else x) :: duals k unit logits' (tl high) (tl low)
  end.

Section Pass.
Variables (logits : list positive) (scale : positive -> Z).

(** A weight [w] of unit [k] for unit [j]. *)
Definition pass_back (k : positive) (s : Z) (a : list int) (most : int) (w : Z) (j : positive)
    (m : PositiveMap.t cell) : option (PositiveMap.t cell) :=
  let z := Z.shiftr w (68 - s + scale j) in
  if Pos.ltb j k && (Z.abs z <? 0x1000000000000000) then
    let x := of_Z z in let h := down 16 x in let l := (x - h * 0x10000)%uint63 in
    let c := cell_at m j in
    match charge (c_mass c) (larger (absolute h) l) most, charge (c_off c) 1 most with
    | Some u, Some e =>
        Some (PositiveMap.add j {| c_high := along h a (c_high c); c_low := along l a (c_low c);
        c_mass := u; c_off := e |} m)
    | _, _ => None
    end
  else None.

(** All weights of unit [k]. *)
Fixpoint pass_all (k : positive) (s : Z) (a : list int) (most : int) (ws : sparse)
  (m : PositiveMap.t cell)
    : option (PositiveMap.t cell) :=
  match ws with
  | [] => Some m
  | w :: ws' =>
      match pass_back k s a most (fst w) (snd w) m with Some m' => pass_all k s a most ws' m'
        | None => None end
  end.

(** What the unit adds to the sums of single pixels. *)
Fixpoint book_early (s : Z) (a : list int) (reach : int) (zs : sparse)
  (m : PositiveMap.t (list (list int) * int))
    : option (PositiveMap.t (list (list int) * int)) :=
  match zs with
  | [] => Some m
  | (z, q) :: zs' =>
      match upward z (74 - s) with
      | Some f =>
          let (t, u) := early_at m q in
          match charge u reach f with
          | Some u' => book_early s a reach zs' (PositiveMap.add q (weighed f a t, u') m)
          | None => None
          end
      | None => None
      end
  end.

(** Unit [k], to which [c] has been passed back. *)
Definition visit (k : positive) (v : visited) (c : cell) (st : state) : option state :=
  let s := scale k in
  match upward one (64 + s), upward (v_rem v + 2 * v_rho v) (74 - s),
    upward (v_move v) (80 - s) with
  | Some unit, Some f, Some d =>
      let a := duals k unit logits (c_high c) (c_low c) in let reach := spread a in
      match charge (mass st) reach f, charge (defects st) ((c_off c >> 31) + 3)%uint63 d,
        book_early s a reach (v_early v) (early st),
        pass_all k s a (most_of a) (core_of (v_op v) (v_slope v)) (cells st) with
      | Some u, Some e, Some es, Some m => 
          Some {| cells := m; sums := weighed f a (sums st); mass := u; early := es; defects := e |}
      | _, _, _, _ => None
      end
  | _, _, _ => None
  end.

(** A unit that nothing has been passed back to is skipped. *)
Definition step (k : positive) (v : visited) (st : state) : option state :=
  match PositiveMap.find k (cells st) with
  | Some c =>
      visit k v c {| cells := PositiveMap.remove k (cells st); sums := sums st; mass := mass st;
      early := early st; defects := defects st |}
  | None => if existsb (Pos.eqb k) logits then visit k v empty_cell st else Some st
  end.

(** All units, from the last to the first. *)
Fixpoint steps (k : positive) (l : list visited) (st : state) : option state :=
  match l with
  | [] => Some st
  | v :: l' => match step k v st with Some st' => steps (Pos.pred k) l' st' | None => None end
  end.
End Pass.

(** Before the last unit. *)
Definition start : state :=
  {| cells := PositiveMap.empty _; sums := []; mass := 0; early := PositiveMap.empty _;
  defects := 0 |}.

(** R: the largest sum, with the defects, over [2^100]. *)
Definition finish (classes : nat) (st : state) : Z :=
  let r := fold_right (fun e => Z.max (highest classes (sums st) (fst (snd e))))
  (highest classes (sums st) [])
    (PositiveMap.elements (early st)) in
  Z.shiftl (r + to_Z (defects st)) 44.

(** ** Scales *)

(** The scale of a unit, and of all units, from the last to the first. *)
Definition scale_of (v : visited) : Z := 106 - Z.log2 (v_move v).

Fixpoint scales (k : positive) (l : list visited) (m : PositiveMap.t Z) : PositiveMap.t Z :=
  match l with [] => m | v :: l' => scales (Pos.pred k) l' (PositiveMap.add k (scale_of v) m) end.

(** The number of the last unit. *)
Definition last_key (l : list visited) : positive :=
  fold_left (fun k _ => Pos.succ k) (tl l) 1%positive.

(** The whole pass. *)
Definition backward (logits : list positive) (l : list visited) : option Z :=
  let m := scales (last_key l) l (PositiveMap.empty _) in
  let scale j := match PositiveMap.find j m with Some s => s | None => 0 end in
  match steps logits scale (last_key l) l start with Some st => Some (finish (length logits) st)
    | None => None end.

(** ** An example *)

(** One pixel, its half, and of that two logits: a half and minus a quarter. The duals of the two
    logits are 1 and -1 for their difference, those of the half 3/4, of the pixel 3/8. The pixel
    changes by 2^-8, each other unit rounds by 2^-24: R is 3/8 * 2^-8 + 2 * (1 + 1 + 3/4) * 2^-24,
    and less than 2^-24 more as it is computed. *)
Definition small_unit (reads : sparse) (rho move : Z) (early : sparse) : visited :=
  {| v_op := CLinear reads [] None; v_slope := 0; v_rho := rho; v_move := move; v_rem := 0;
    v_early := early |}.

Definition small_units (read : positive) (w : Z) : list visited :=
  [small_unit [(- 2 ^ 98, read)] (2 ^ 76) (2 ^ 91) [];
    small_unit [(w, 2%positive)] (2 ^ 76) (2 ^ 92) [];
   small_unit [(2 ^ 99, 1%positive)] (2 ^ 76) (2 ^ 92) [];
   small_unit [] 0 (2 ^ 93) [(2 ^ 92, 1%positive)]].

Lemma small_pass : let exact := 3 * 2 ^ 89 + 11 * 2 ^ 75 in
  match backward [3; 4]%positive (small_units 2 (2 ^ 99)) with
  | Some r => (exact <=? r) && (r <? exact + 2 ^ 76)
  | None => false
  end = true.
Proof. vm_compute. reflexivity. Qed.

(** A unit that reads itself, and a weight that is too large, are refused. *)
Lemma small_refused : backward [3; 4]%positive (small_units 4 (2 ^ 99)) = None /\
  backward [3; 4]%positive (small_units 2 (2 ^ 125)) = None.
Proof. split; vm_compute; reflexivity. Qed.
