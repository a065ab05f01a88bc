(** * Conversions and shifts of integers, quickly

    [vm_compute] takes a step for each binary digit, or several. Here digits are taken four at a
    time.

    - [grid_of]: a signed machine integer times a power of two;
    - [up_of], [low_of]: [z / 2^(4 n)] rounded up, or down; [raise]: [z * 2^(4 n)].

    [grid_of_ok], [up_of_ok], [low_of_ok], [raise_ok] say so. *)

From Coq Require Import ZArith Lia Bool Uint63.
From Coq Require Sint63.
From Lastbit Require Import checker.Integers.
Open Scope Z_scope.

(** ** Shifts *)

(** [p / 2^(4 n)], rounded down. *)
Fixpoint floor_of (n : nat) (p : positive) : Z :=
  match n with
  | O => Zpos p
  | S n' => match p with
    | xH | xO xH | xI xH | xO (xO xH) | xO (xI xH) | xI (xO xH) | xI (xI xH) | xO (xO (xO xH))
        | xO (xO (xI xH))
    | xO (xI (xO xH)) | xO (xI (xI xH)) | xI (xO (xO xH)) | xI (xO (xI xH)) | xI (xI (xO xH))
        | xI (xI (xI xH)) => 0
    | xO (xO (xO (xO q))) | xO (xO (xO (xI q))) | xO (xO (xI (xO q))) | xO (xO (xI (xI q))) 
    | xO (xI (xO (xO q))) | xO (xI (xO (xI q))) | xO (xI (xI (xO q))) | xO (xI (xI (xI q))) 
    | xI (xO (xO (xO q))) | xI (xO (xO (xI q))) | xI (xO (xI (xO q))) | xI (xO (xI (xI q))) 
    | xI (xI (xO (xO q))) | xI (xI (xO (xI q))) | xI (xI (xI (xO q))) | xI (xI (xI (xI q))) =>
        floor_of n' q
    end
  end.

(** The same, rounded up. *)
Fixpoint ceil_of (n : nat) (p : positive) : Z :=
  match n with
  | O => Zpos p
  | S n' => match p with xO (xO (xO (xO q))) => ceil_of n' q | _ => Z.succ (floor_of n p) end
  end.

(** [z / 2^(4 n)] rounded up, and down; and [up]. *)
Definition up_of (n : nat) (z : Z) : Z :=
  match z with Z0 => 0 | Zpos p => ceil_of n p | Zneg p => - floor_of n p end.
Definition low_of (n : nat) (z : Z) : Z :=
  match z with Z0 => 0 | Zpos p => floor_of n p | Zneg p => - ceil_of n p end.
Definition up_100 : Z -> Z := up_of 25.
Definition low_100 : Z -> Z := low_of 25.

(** Groups of four digits, up to [n]. *)
Fixpoint nibbles (n : nat) (p : positive) : nat :=
  match n with
  | O => O
  | S n' => match p with
    | xH | xO xH | xI xH | xO (xO xH) | xO (xI xH) | xI (xO xH) | xI (xI xH) | xO (xO (xO xH))
        | xO (xO (xI xH))
    | xO (xI (xO xH)) | xO (xI (xI xH)) | xI (xO (xO xH)) | xI (xO (xI xH)) | xI (xI (xO xH))
        | xI (xI (xI xH)) => O
    | xO (xO (xO (xO q))) | xO (xO (xO (xI q))) | xO (xO (xI (xO q))) | xO (xO (xI (xI q)))
    | xO (xI (xO (xO q))) | xO (xI (xO (xI q))) | xO (xI (xI (xO q))) | xO (xI (xI (xI q)))
    | xI (xO (xO (xO q))) | xI (xO (xO (xI q))) | xI (xO (xI (xO q))) | xI (xO (xI (xI q)))
    | xI (xI (xO (xO q))) | xI (xI (xO (xI q))) | xI (xI (xI (xO q))) | xI (xI (xI (xI q))) =>
        S (nibbles n' q)
    end
  end.

(** ** Machine integers *)

Local Open Scope uint63_scope.
(** [i] in binary, for [0 < i < 2^(4 n)]. *)
Fixpoint binary (n : nat) (i : int) : positive :=
  match n with
  | O => xH
  | S n' =>
      if i <? 16 then
        if i <? 8 then
          if i <? 4 then if i <? 2 then xH else if i =? 2 then xO xH else xI xH
          else if i <? 6 then if i =? 4 then xO (xO xH) else xI (xO xH) else if i =? 6
          then xO (xI xH) else xI (xI xH)
        else if i <? 12 then
          if i <? 10 then if i =? 8 then xO (xO (xO xH)) else xI (xO (xO xH)) else if i =? 10
          then xO (xI (xO xH)) else xI (xI (xO xH))
          else if i <? 14 then if i =? 12 then xO (xO (xI xH)) else xI (xO (xI xH)) else if i =? 14
          then xO (xI (xI xH)) else xI (xI (xI xH))
      else let p := binary n' (i >> 4) in let d := i land 15 in
        if d <? 8 then
          if d <? 4 then if d <? 2 then if d =? 0 then xO (xO (xO (xO p))) else xI (xO (xO (xO p)))
            else if d =? 2 then xO (xI (xO (xO p))) else xI (xI (xO (xO p)))
          else if d <? 6 then if d =? 4 then xO (xO (xI (xO p))) else xI (xO (xI (xO p)))
            else if d =? 6 then xO (xI (xI (xO p))) else xI (xI (xI (xO p)))
        else if d <? 12 then
          if d <? 10 then if d =? 8 then xO (xO (xO (xI p))) else xI (xO (xO (xI p)))
            else if d =? 10 then xO (xI (xO (xI p))) else xI (xI (xO (xI p)))
          else if d <? 14 then if d =? 12 then xO (xO (xI (xI p))) else xI (xO (xI (xI p)))
            else if d =? 14 then xO (xI (xI (xI p))) else xI (xI (xI (xI p)))
  end.
Local Close Scope uint63_scope.

(** A signed machine integer, as an integer. *)
Definition z_of (i : int) : Z :=
  if (i =? 0)%uint63 then 0 else if (i <? 0x4000000000000000)%uint63 then Zpos (binary 16 i)
  else Zneg (binary 16 (0 - i)%uint63).

(** [p] times [2^(4 n)]. *)
Fixpoint raised (n : nat) (p : positive) : positive :=
  match n with O => p | S n' => xO (xO (xO (xO (raised n' p)))) end.

(** [z * 2^(4 n)]; and the same of a machine integer. *)
Definition raise (n : nat) (z : Z) : Z :=
  match z with Z0 => 0 | Zpos p => Zpos (raised n p) | Zneg p => Zneg (raised n p) end.
Definition grid_of (n : nat) (i : int) : Z := raise n (z_of i).

(** ** That they are so *)

Lemma shift_4 p q n : Z.shiftr (Zpos p) 4 = q ->
  Z.shiftr (Zpos p) (4 * Z.of_nat (S n)) = Z.shiftr q (4 * Z.of_nat n).
Proof. intros <-. rewrite Z.shiftr_shiftr by lia. f_equal. lia. Qed.

(** One case for each value of the last four digits. *)
Ltac by_digit p :=
  destruct p as [[[[p|p|]|[p|p|]|]|[[p|p|]|[p|p|]|]|]|[[[p|p|]|[p|p|]|]|[[p|p|]|[p|p|]|]|]|].

Lemma floor_of_ok n : forall p, floor_of n p = Z.shiftr (Zpos p) (4 * Z.of_nat n).
Proof.
  induction n as [|n IH]; intros p; [reflexivity|].
  by_digit p;
    cbn [floor_of]; rewrite (shift_4 _ _ n eq_refl); try (rewrite IH; reflexivity); cbn;
    now rewrite Z.shiftr_0_l.
Qed.

Lemma ceil_of_ok n : forall p, ceil_of n p = - Z.shiftr (Zneg p) (4 * Z.of_nat n).
Proof.
  induction n as [|n IH]; intros p; [reflexivity|].
  assert (D : Z.shiftr (Zneg p) (4 * Z.of_nat (S n)) =
    Z.shiftr (Z.shiftr (Zneg p) 4) (4 * Z.of_nat n))
    by (rewrite Z.shiftr_shiftr by lia; f_equal; lia).
  assert (Other : Z.modulo (Zpos p) 16 <> 0 ->
    Z.succ (floor_of (S n) p) = - Z.shiftr (Zneg p) (4 * Z.of_nat (S n))).
  { intros M. rewrite floor_of_ok, !Z.shiftr_div_pow2 by lia. set (k := 4 * Z.of_nat (S n)).
    assert (P : 0 < 2 ^ k) by (apply Z.pow_pos_nonneg; lia).
    assert (K : 2 ^ k = 16 * 2 ^ (k - 4))
      by (change 16 with (2 ^ 4); rewrite <- Z.pow_add_r by lia; f_equal; lia).
    assert (R : Zpos p mod 2 ^ k <> 0).
    { intros R. apply M. apply Z.mod_divide; [lia|]. apply Z.mod_divide in R; [|lia].
      rewrite K in R. destruct R as [x R]. exists (x * 2 ^ (k - 4)). rewrite R. ring. }
    change (Zneg p) with (- Zpos p). rewrite Z.div_opp_l_nz by lia. lia. }
  by_digit p;
    try (cbn [ceil_of]; apply Other; rewrite <- (Z.land_ones _ 4) by lia; discriminate).
  cbn [ceil_of]. rewrite IH, D. reflexivity.
Qed.

Lemma up_of_ok n z : up_of n z = - Z.shiftr (- z) (4 * Z.of_nat n).
Proof.
  destruct z as [|p|p]; unfold up_of; [now rewrite Z.shiftr_0_l|apply ceil_of_ok|].
  now rewrite floor_of_ok.
Qed.

Lemma low_of_ok n z : low_of n z = Z.shiftr z (4 * Z.of_nat n).
Proof.
  destruct z as [|p|p]; unfold low_of; [now rewrite Z.shiftr_0_l|apply floor_of_ok|].
  rewrite ceil_of_ok. apply Z.opp_involutive.
Qed.

Lemma up_100_ok z : up_100 z = up z. Proof. apply (up_of_ok 25). Qed.
Lemma low_100_ok z : low_100 z = Z.shiftr z 100. Proof. apply (low_of_ok 25). Qed.

Lemma raised_ok n p : Zpos (raised n p) = Z.shiftl (Zpos p) (4 * Z.of_nat n).
Proof.
  induction n as [|n IH]; [reflexivity|].
  change (Zpos (raised (S n) p)) with (16 * Zpos (raised n p)).
  rewrite IH, !Z.shiftl_mul_pow2 by lia.
  replace (4 * Z.of_nat (S n)) with (4 + 4 * Z.of_nat n) by lia. rewrite Z.pow_add_r by lia.
  change (2 ^ 4) with 16. lia.
Qed.

Lemma less a b : (a <? b)%uint63 = (Uint63.to_Z a <? Uint63.to_Z b).
Proof. apply eq_true_iff_eq. now rewrite Uint63.ltb_spec, Z.ltb_lt. Qed.
Lemma same a b : (a =? b)%uint63 = (Uint63.to_Z a =? Uint63.to_Z b).
Proof.
  apply eq_true_iff_eq. rewrite Uint63.eqb_spec, Z.eqb_eq.
  split; [now intros ->|apply Uint63.to_Z_inj].
Qed.

Local Ltac by_cases :=
  repeat match goal with
  | |- context [if Z.ltb ?a ?b then _ else _] => destruct (Z.ltb_spec a b)
  | |- context [if Z.eqb ?a ?b then _ else _] => destruct (Z.eqb_spec a b)
  end.

Lemma binary_ok n : forall i, 0 < Uint63.to_Z i < 2 ^ (4 * Z.of_nat n) ->
  Zpos (binary n i) = Uint63.to_Z i.
Proof.
  induction n as [|n IH]; intros i H; [cbn in H; lia|]. cbn [binary]. cbv zeta.
  rewrite !less, !same.
  repeat match goal with |- context [Uint63.to_Z ?c] => let v := eval vm_compute in
    (Uint63.to_Z c) in
    match v with Z0 => idtac | Zpos _ => idtac end; change (Uint63.to_Z c) with v end.
  assert (D : Uint63.to_Z (i land 15) = Uint63.to_Z i mod 16).
  { rewrite Uint63.land_spec'. change (Uint63.to_Z 15) with (Z.ones 4).
    now rewrite Z.land_ones by lia. }
  assert (Q : Uint63.to_Z (i >> 4) = Uint63.to_Z i / 16) by apply Uint63.lsr_spec.
  assert (M := Z.div_mod (Uint63.to_Z i) 16 ltac:(lia)).
  assert (B := Z.mod_pos_bound (Uint63.to_Z i) 16 ltac:(lia)). rewrite D.
  set (t := Uint63.to_Z i) in *. destruct (Z.ltb_spec t 16) as [S|S].
  - by_cases; lia.
  - assert (E : Zpos (binary n (i >> 4)) = t / 16).
    { rewrite IH, Q; [reflexivity|]. rewrite Q. split; [lia|]. apply Z.div_lt_upper_bound; [lia|].
      replace (4 * Z.of_nat (Datatypes.S n)) with (4 + 4 * Z.of_nat n) in H by lia.
      rewrite Z.pow_add_r in H by lia. change (2 ^ 4) with 16 in H. lia. }
    set (p := binary n (i >> 4)) in *. set (q := t / 16) in *. set (r := t mod 16) in *.
    by_cases; lia.
Qed.

Lemma z_of_ok i : z_of i = Sint63.to_Z i.
Proof.
  unfold z_of, Sint63.to_Z. rewrite !same, !less. assert (B := Uint63.to_Z_bounded i).
  change (Uint63.to_Z Sint63.min_int) with (2 ^ 62). change (Uint63.to_Z 0) with 0.
  change (Uint63.to_Z 0x4000000000000000) with (2 ^ 62).
  destruct (Z.eqb_spec (Uint63.to_Z i) 0) as [->|N]; [reflexivity|].
  change (2 ^ 62) with (0x4000000000000000) in *.
  destruct (Z.ltb_spec (Uint63.to_Z i) 0x4000000000000000) as [L|L].
  - rewrite binary_ok; [reflexivity|]. change (2 ^ (4 * Z.of_nat 16)) with 0x10000000000000000. lia.
  - assert (E : Uint63.to_Z (- i) = 0x8000000000000000 - Uint63.to_Z i).
    { rewrite Uint63.opp_spec. change wB with 0x8000000000000000 in *. symmetry.
      apply Z.mod_unique_pos with (q := -1); lia. }
    change (0 - i)%uint63 with (- i)%uint63. change wB with 0x8000000000000000 in B.
    change (Zneg (binary 16 (- i))) with (- Zpos (binary 16 (- i))). f_equal. apply binary_ok.
    rewrite E. change (2 ^ (4 * Z.of_nat 16)) with 0x10000000000000000. lia.
Qed.

Lemma raise_ok n z : raise n z = Z.shiftl z (4 * Z.of_nat n).
Proof.
  destruct z as [|p|p]; unfold raise; [now rewrite Z.shiftl_0_l|apply raised_ok|].
  change (Zneg (raised n p)) with (- Zpos (raised n p)). change (Zneg p) with (- Zpos p).
  rewrite raised_ok, !Z.shiftl_mul_pow2 by lia. ring.
Qed.

Lemma grid_of_ok n i : grid_of n i = Z.shiftl (Sint63.to_Z i) (4 * Z.of_nat n).
Proof. unfold grid_of. now rewrite raise_ok, z_of_ok. Qed.
