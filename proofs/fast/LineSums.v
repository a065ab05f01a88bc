(** * Sums and roundings of lines, entry by entry

    - [signed], [plain]: a machine integer as a signed number, and as a number from 0 on;
    - [added_sum]: the sum of two lines, one of them times a number, where no number leaves the 63 bits;
    - [rounded_ok], [rounded_error]: the division by a power of two, to the nearest.

    The order of the entries is never used: [entry_sum] adds up all entries of a key. Rests on Lines.v and Totals.v. *)

From Coq Require Import Reals Lra Lia Psatz ZArith Bool Uint63.
From Coq Require Sint63.
From Lastbit Require Import Totals fast.Lines.
Open Scope R_scope.

Notation plain := Uint63.to_Z.
Notation signed := Sint63.to_Z.

(** ** Machine integers *)

Open Scope Z_scope.

Lemma plain_range x : 0 <= plain x < 2 ^ 63.
Proof. exact (Uint63.to_Z_bounded x). Qed.

Lemma plain_add a b : plain a + plain b < 2 ^ 63 -> plain (a + b)%uint63 = plain a + plain b.
Proof.
  intros H. rewrite Uint63.add_spec. apply Z.mod_small. generalize (plain_range a) (plain_range b). change wB with (2 ^ 63).
  lia.
Qed.

Lemma plain_magnitude v : plain (magnitude v) = Z.abs (signed v).
Proof.
  unfold Sint63.to_Z. change Sint63.min_int with limit_sum. change (0 - v)%uint63 with (opp v).
  generalize (plain_range v) (plain_range (opp v)). destruct (v <? limit_sum)%uint63; lia.
Qed.

Lemma signed_small x : - 2 ^ 62 <= signed x < 2 ^ 62.
Proof.
  generalize (Sint63.to_Z_bounded x). change (signed Sint63.min_int) with (- 2 ^ 62).
  change (signed Sint63.max_int) with (2 ^ 62 - 1). lia.
Qed.

(** Numbers that agree modulo 2^63, and are small, are equal. *)
Lemma signed_is x z : - 2 ^ 62 <= z < 2 ^ 62 -> plain x = z mod 2 ^ 63 -> signed x = z.
Proof.
  intros H E. rewrite Sint63.to_Z_cmodwB, E. change (2 ^ 63) with wB. rewrite Sint63.cmod_mod. apply Sint63.cmod_small.
  change (wB / 2) with (2 ^ 62). lia.
Qed.

Lemma signed_add x y : Z.abs (signed x) + Z.abs (signed y) < 2 ^ 62 -> signed (x + y)%uint63 = signed x + signed y.
Proof. intros H. apply Sint63.to_Z_add. rewrite Sint63.to_Z_min, Sint63.to_Z_max. change (wB / 2) with (2 ^ 62). lia. Qed.

Lemma signed_mul x y : Z.abs (signed x) * Z.abs (signed y) < 2 ^ 62 -> signed (x * y)%uint63 = signed x * signed y.
Proof.
  intros H. rewrite <- Z.abs_mul in H. apply Sint63.to_Z_mul. rewrite Sint63.to_Z_min, Sint63.to_Z_max.
  change (wB / 2) with (2 ^ 62). lia.
Qed.

Lemma signed_bias x : plain (x + limit_sum)%uint63 = signed x + 2 ^ 62.
Proof.
  assert (R := signed_small x). rewrite Uint63.add_spec, <- Sint63.to_Z_mod_Uint63to_Z, Zplus_mod_idemp_l.
  change (plain limit_sum) with (2 ^ 62). apply Z.mod_small. change wB with (2 ^ 63). lia.
Qed.

(** ** Lines, entry by entry *)

Fixpoint entry_sum (l : line) (g : nat) : Z :=
  match l with Nil => 0 | Entry h v l => (if Z.of_nat g =? plain h then signed v else 0) + entry_sum l g end.

Fixpoint norm (p : int -> bool) (l : line) : Z :=
  match l with Nil => 0 | Entry h v l => (if p h then Z.abs (signed v) else 0) + norm p l end.

Fixpoint entries (l : line) : Z := match l with Nil => 0 | Entry _ _ l => 1 + entries l end.

Fixpoint below (k : nat) (l : line) : Prop :=
  match l with Nil => True | Entry h _ l => plain h < Z.of_nat k /\ below k l end.

Definition all (g : int) := true.
Notation whole := (norm all).

Lemma whole_cons h v l : whole (Entry h v l) = Z.abs (signed v) + whole l.
Proof. reflexivity. Qed.

Lemma norm_pos p l : 0 <= norm p l.
Proof. induction l as [|h v l IH]; cbn [norm]; [lia|]. destruct (p h); lia. Qed.

Lemma entries_pos l : 0 <= entries l.
Proof. induction l as [|h v l IH]; cbn [entries]; lia. Qed.

Lemma norm_parts p l : norm p l + norm (fun g => negb (p g)) l = whole l.
Proof. induction l as [|h v l IH]; cbn [norm]; [lia|]. unfold all at 1. destruct (p h); cbn [negb]; lia. Qed.

Lemma entry_below k l g : below k l -> (k <= g)%nat -> entry_sum l g = 0.
Proof.
  induction l as [|h v l IH]; intros H Hg; [reflexivity|]. cbn [entry_sum below] in *. rewrite IH by tauto.
  destruct (Z.eqb_spec (Z.of_nat g) (plain h)); lia.
Qed.

Lemma below_later k k' l : (k <= k')%nat -> below k l -> below k' l.
Proof. intros H. induction l as [|h v l IH]; cbn [below]; [tauto|]. intros [A B]. split; [lia|tauto]. Qed.

Lemma entry_norm l g : Z.abs (entry_sum l g) <= whole l.
Proof. induction l as [|h v l IH]; cbn [entry_sum norm]; [lia|]. unfold all at 1. destruct (Z.of_nat g =? plain h); lia. Qed.

(** ** Sums of two lines *)

(** [r] is [c] times [a], plus [b]. *)
Record sum_of (c : int) (a b r : line) : Prop := {
  s_entry : forall g, entry_sum r g = signed c * entry_sum a g + entry_sum b g;
  s_whole : whole r <= Z.abs (signed c) * whole a + whole b;
  s_entries : entries r <= entries a + entries b;
  s_below : forall k, below k a -> below k b -> below k r }.

Notation fits c a b := (Z.abs (signed c) * whole a + whole b < 2 ^ 62).

Lemma fits_left c g v a b : fits c (Entry g v a) b -> Z.abs (signed c) * Z.abs (signed v) < 2 ^ 62 /\ fits c a b.
Proof. rewrite whole_cons. generalize (norm_pos all a) (norm_pos all b). nia. Qed.

Lemma fits_right c g v a b : fits c a (Entry g v b) -> fits c a b.
Proof. rewrite whole_cons. lia. Qed.

Lemma sum_left c g v a b r : fits c (Entry g v a) b -> sum_of c a b r -> sum_of c (Entry g v a) b (Entry g (c * v) r).
Proof.
  intros F [E W N B]. apply fits_left in F. assert (M := signed_mul c v (proj1 F)). split.
  - intros j. cbn [entry_sum]. rewrite E, M. destruct (Z.of_nat j =? plain g); lia.
  - rewrite !whole_cons, M, Z.abs_mul. lia.
  - cbn [entries]. lia.
  - intros k. cbn [below]. intuition.
Qed.

Lemma sum_right c g v a b r : sum_of c a b r -> sum_of c a (Entry g v b) (Entry g v r).
Proof.
  intros [E W N B]. split.
  - intros j. cbn [entry_sum]. rewrite E. lia.
  - rewrite !whole_cons. lia.
  - cbn [entries]. lia.
  - intros k. cbn [below]. intuition.
Qed.

Lemma sum_both c g v w a b r : fits c (Entry g v a) (Entry g w b) -> sum_of c a b r ->
  sum_of c (Entry g v a) (Entry g w b) (Entry g (c * v + w) r).
Proof.
  intros F [E W N B]. assert (M := signed_mul c v (proj1 (fits_left _ _ _ _ _ F))). rewrite !whole_cons in F.
  assert (P := norm_pos all a). assert (P' := norm_pos all b).
  assert (A : signed (c * v + w) = signed c * signed v + signed w).
  { rewrite signed_add, M; [reflexivity|]. rewrite M, Z.abs_mul. nia. }
  split.
  - intros j. cbn [entry_sum]. rewrite E, A. destruct (Z.of_nat j =? plain g); lia.
  - rewrite !whole_cons, A. generalize (Z.abs_triangle (signed c * signed v) (signed w)). rewrite Z.abs_mul. lia.
  - cbn [entries]. lia.
  - intros k. cbn [below]. intuition.
Qed.

Lemma scaled_sum c a : fits c a Nil -> sum_of c a Nil (scaled c a).
Proof.
  induction a as [|g v a IH]; intros F.
  - split; intros; cbn [scaled entry_sum norm entries below] in *; try lia; try exact I.
  - cbn [scaled]. apply (sum_left c g v a Nil); [exact F|]. exact (IH (proj2 (fits_left _ _ _ _ _ F))).
Qed.

Lemma nil_sum c b : sum_of c Nil b b.
Proof. split; intros; cbn [entry_sum norm entries]; try lia; assumption. Qed.

Lemma added_sum c a : forall b, fits c a b -> sum_of c a b (added c a b).
Proof.
  induction a as [|g v a IH]; intros b F; [apply nil_sum|].
  destruct b as [|h w b]; [exact (scaled_sum _ _ F)|]. cbn [added].
  assert (A : forall b, fits c (Entry g v a) b -> sum_of c a b (added c a b))
    by (intros b' F'; exact (IH b' (proj2 (fits_left _ _ _ _ _ F')))).
  destruct (Uint63.eqb_spec g h) as [Q _]. destruct (g =? h)%uint63.
  { rewrite <- (Q eq_refl) in *. apply sum_both; [exact F|]. exact (A _ (fits_right _ _ _ _ _ F)). }
  clear Q. destruct (h <? g)%uint63; [now apply sum_left, A|].
  apply sum_right. apply fits_right in F. clear h w. revert F. induction b as [|h w b IHb]; intros F;
  [exact (scaled_sum _ _ F)|].
  destruct (g <? h)%uint63; [exact (sum_right _ _ _ _ _ _ (IHb (fits_right _ _ _ _ _ F)))|].
  destruct (Uint63.eqb_spec g h) as [Q _]. destruct (g =? h)%uint63; [|now apply sum_left, A].
  rewrite <- (Q eq_refl) in *. apply sum_both; [exact F|]. exact (A _ (fits_right _ _ _ _ _ F)).
Qed.

(** ** Rounding *)

Section Rounding.
Variable e : int.
Hypothesis He : plain e < 62.
Notation half := ((1 << e) >> 1)%uint63.
Notation bias := (limit_sum + half)%uint63.
Notation back := (limit_sum >> e)%uint63.
Notation unit := (2 ^ plain e).

Lemma unit_pos : 0 < unit.
Proof. apply Z.pow_pos_nonneg; [lia|apply plain_range]. Qed.

Lemma half_is : plain half = unit / 2.
Proof.
  assert (R := plain_range e). rewrite Uint63.lsr_spec, Uint63.lsl_spec. change (plain 1) with 1.
  rewrite Z.mul_1_l, Z.mod_small; [reflexivity|].
  split; [apply Z.lt_le_incl, unit_pos|]. change wB with (2 ^ 63). apply Z.pow_lt_mono_r; lia.
Qed.

Lemma rounded_number v : Z.abs (signed v) + plain half < 2 ^ 62 ->
  signed (((v + bias) >> e) - back)%uint63 = (signed v + unit / 2) / unit.
Proof.
  intros H. rewrite half_is in H. assert (U := unit_pos). assert (R := plain_range e).
  assert (D : 2 ^ 62 = 2 ^ (62 - plain e) * unit) by (rewrite <- Z.pow_add_r by lia; f_equal; lia).
  assert (D' : 2 ^ 62 / unit = 2 ^ (62 - plain e)) by (rewrite D; apply Z.div_mul; lia).
  assert (Hp : 0 <= unit / 2) by (apply Z.div_pos; lia).
  apply signed_is.
  - split; [apply Z.div_le_lower_bound|apply Z.div_lt_upper_bound]; nia.
  - rewrite Uint63.sub_spec, !Uint63.lsr_spec, Uint63.add_assoc.
    rewrite plain_add, signed_bias, half_is by (rewrite signed_bias, half_is; lia).
    change (plain limit_sum) with (2 ^ 62). change wB with (2 ^ 63). f_equal.
    replace (signed v + 2 ^ 62 + unit / 2) with (signed v + unit / 2 + 2 ^ (62 - plain e) * unit) by lia.
    rewrite D', Z.div_add by lia. lia.
Qed.

Lemma rounded_close x : 2 * Z.abs ((x + unit / 2) / unit * unit - x) <= unit.
Proof.
  assert (U := unit_pos). assert (A := Z.div_mod (x + unit / 2) unit ltac:(lia)).
  assert (A' := Z.mod_pos_bound (x + unit / 2) unit U).
  assert (T := Z.div_mod unit 2 ltac:(lia)). assert (T' := Z.mod_pos_bound unit 2 ltac:(lia)).
  destruct (Z.eq_dec (plain e) 0) as [Z0|N0].
  - rewrite Z0. change (2 ^ 0) with 1. change (1 / 2) with 0. rewrite Z.div_1_r. lia.
  - assert (unit mod 2 = 0).
    { replace (plain e) with (Z.succ (plain e - 1)) by lia. rewrite Z.pow_succ_r, Z.mul_comm by (generalize (plain_range e);
    lia). now apply Z_mod_mult. }
    lia.
Qed.

Lemma rounded_less x : Z.abs ((x + unit / 2) / unit) <= Z.abs x.
Proof.
  assert (U := unit_pos). assert (C := rounded_close x). set (q := (x + unit / 2) / unit) in *.
  destruct (Z.eq_dec unit 1) as [E|E]; [rewrite E in C; lia|].
  destruct (Z.eq_dec x 0) as [->|Nx]; [|nia].
  unfold q. rewrite Z.add_0_l, Z.div_small; [lia|]. split; [apply Z.div_pos; lia|apply Z.div_lt; lia].
Qed.

Lemma rounded_ok l : whole l + plain half < 2 ^ 62 -> let r := rounded bias back e l in
  whole r <= whole l /\ entries r <= entries l /\ forall k, below k l -> below k r.
Proof.
  induction l as [|g v l IH]; [easy|]. rewrite whole_cons. intros H. cbv zeta in *.
  assert (P := norm_pos all l). destruct IH as (W & N & B); [lia|]. cbn [rounded].
  destruct (v =? 0)%uint63.
  - cbn [entries]. split; [lia|]. split; [lia|]. intros k [_ K]. now apply B.
  - rewrite whole_cons, rounded_number by lia. cbn [entries]. generalize (rounded_less (signed v)). split; [lia|]. split;
    [lia|].
    intros k [K K']. split; [exact K|now apply B].
Qed.

Open Scope R_scope.

Lemma over_key n (h : int) x : 0 <= x -> over n (fun g => if (Z.of_nat g =? plain h)%Z then x else 0) <= x.
Proof.
  intros Hx. assert (R := plain_range h). destruct (Nat.lt_ge_cases (Z.to_nat (plain h)) n) as [H|H].
  - rewrite (over_one n (Z.to_nat (plain h))); [rewrite Z2Nat.id, Z.eqb_refl; [lra|lia]|exact H|].
    intros j _ N. destruct (Z.eqb_spec (Z.of_nat j) (plain h)); [lia|reflexivity].
  - rewrite (over_cut n 0); [unfold over; simpl; lra|lia|].
    intros j Hj. destruct (Z.eqb_spec (Z.of_nat j) (plain h)); [lia|reflexivity].
Qed.

Lemma rounded_error n l : (whole l + plain half < 2 ^ 62)%Z -> let r := rounded bias back e l in
  over n (fun g => Rabs (IZR (entry_sum r g) - IZR (entry_sum l g) / IZR unit)) <= IZR (entries r) / 2.
Proof.
  assert (U := IZR_lt _ _ unit_pos). cbv zeta. induction l as [|h v l IH]; intros H.
  - right. rewrite (over_cut n 0); [unfold over; simpl; lra|lia|]. intros j _. cbn [rounded entry_sum].
    replace (0 - 0 / IZR unit) with 0 by (field; lra). apply Rabs_R0.
  - rewrite whole_cons in H. assert (P := norm_pos all l). specialize (IH ltac:(lia)). cbn [rounded].
    destruct (Uint63.eqb_spec v 0) as [Q _]. destruct (v =? 0)%uint63.
    + rewrite (Q eq_refl). apply Rle_trans with (2 := IH). right. apply over_ext. intros j _. cbn [entry_sum].
      change (signed 0) with 0%Z. now destruct (Z.of_nat j =? plain h)%Z.
    + clear Q. cbn [entry_sum entries]. rewrite rounded_number by lia. set (q := ((signed v + unit / 2) / unit)%Z).
      assert (C : Rabs (IZR q - IZR (signed v) / IZR unit) <= / 2).
      { assert (C := IZR_le _ _ (rounded_close (signed v))). fold q in C. rewrite mult_IZR, abs_IZR, minus_IZR, mult_IZR in C.
        replace (IZR q * IZR unit - IZR (signed v)) with ((IZR q - IZR (signed v) / IZR unit) * IZR unit) in C by (field; lra).
        rewrite Rabs_mult, (Rabs_pos_eq (IZR unit)) in C by lra. apply (Rmult_le_reg_r (IZR unit)); lra. }
      rewrite plus_IZR. apply Rle_trans with (/ 2 + IZR (entries (rounded bias back e l)) / 2); [|lra].
      apply Rle_trans with (over n (fun g => (if (Z.of_nat g =? plain h)%Z then / 2 else 0) +
        Rabs (IZR (entry_sum (rounded bias back e l) g) - IZR (entry_sum l g) / IZR unit))).
      * apply over_le. intros j _. rewrite !plus_IZR. destruct (Z.of_nat j =? plain h)%Z.
        -- apply Rle_trans with (2 := Rplus_le_compat_r _ _ _ C), (fun H => Rle_trans _ _ _ H (Rabs_triang _ _)). right.
        f_equal. field. lra.
        -- right. rewrite !Rplus_0_l. reflexivity.
      * rewrite over_plus. apply Rplus_le_compat; [apply over_key; lra|exact IH].
Qed.
End Rounding.
